/* fuzz_uri.c - any bytes as a path, an authority, a URL and a query. The
 * normal form of a path must be its own, and hold no way up.
 */
#include <stdlib.h>

#include "base/log.h"
#include "format/uri.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool holds(struct str s, const char *z)
{
    return s.len && memmem(s.p, s.len, z, strlen(z));
}

static void check_path(struct str path)
{
    char *once = malloc(path.len + 1), *twice = malloc(path.len + 1);
    size_t len = 0, again = 0;
    bool unchanged = false;
    struct str s;

    must(once && twice);
    if (!uri_path_normal(path, once, &len, &unchanged)) {
        s = str_from(once, len);
        must(len > 0 && len <= path.len && once[0] == '/');
        must(unchanged == str_eq(path, s));
        must(!uri_path_normal(s, twice, &again, &unchanged));
        must(unchanged && str_eq(s, str_from(twice, again)));
        must(!holds(s, "/../") && !holds(s, "/./") && !holds(s, "%00"));
        must(!str_ends(s, STR("/..")) && !str_ends(s, STR("/.")));
        must(!holds(s, "/..;") && !holds(s, "/..%2F"));
        must(!holds(s, "%2e") && !holds(s, "%2E") && !holds(s, "%2f"));
    }
    free(once);
    free(twice);
}

static void check_authority(struct str text)
{
    struct str host;
    uint16_t port;

    if (authority_parse(text, &host, &port))
        return;
    must(host.len && host.p == text.p && host.len <= text.len);
    must(str_find(host, '@') == host.len && str_find(host, '/') == host.len);
    must(host.len < text.len || port == 0);
}

static void check_url(struct str text)
{
    struct arena *a = arena_new();
    struct url u;

    if (!url_parse(a, text, &u)) {
        must(u.scheme.len && u.host.len);
        must(!u.path.len || u.path.p[0] == '/');
        must(uri_query_valid(u.query));
        must(u.has_query || !u.query.len);
        if (u.path.len)
            check_path(u.path);
    }
    arena_free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* each in memory of its own, so that reading before it is seen too */
    char *copy = malloc(size + 1);
    struct str text;

    must(copy);
    memcpy(copy, data, size);
    text = str_from(copy, size);
    check_path(text);
    check_authority(text);
    check_url(text);
    uri_query_valid(text);
    free(copy);
    return 0;
}
