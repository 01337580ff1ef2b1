/* openapi_servers.c - where an API is: its path here and its endpoint there.
 *
 * The first server counts. Its path becomes the context; when it is absolute
 * it is the endpoint as well. A server of a path or an operation only changes
 * the endpoint: the address under which the gateway serves an operation never
 * depends on it.
 */
#include "format/openapi_internal.h"

/* "." or "..", in whatever escape. */
static bool is_dots(struct str segment)
{
    size_t dots = 0;

    while (segment.len) {
        size_t n = segment.p[0] == '.' ? 1 : 3;

        if (n == 3 && !str_eq_nocase(str_head(segment, 3), STR("%2e")))
            return false;
        segment = str_skip(segment, n);
        dots++;
    }
    return dots == 1 || dots == 2;
}

bool oas_base_path(struct arena *a, struct str text, struct str *out,
                   const char **why)
{
    struct str rest = text;
    char *p = arena_raw(a, text.len + 1);
    size_t n = 0;
    bool unchanged;

    if (text.len && text.p[0] != '/') {
        *why = "a path begins with /";
        return false;
    }
    while (rest.p) {
        if (is_dots(str_cut(&rest, '/'))) {
            *why = "a path cannot have . and .. as segments";
            return false;
        }
    }
    if (text.len && uri_path_normal(text, p, &n, &unchanged)) {
        *why = "its path has characters that must be escaped as %XX, or a "
               "broken escape";
        return false;
    }
    while (n && p[n - 1] == '/')
        n--;
    *out = str_from(p, n);
    return true;
}

/* What stands for {name}: the default of the variable. */
static bool variable(struct oas_load *l, struct oas_at server, struct str name,
                     struct str *value)
{
    struct oas_at all = oas_get(server, "variables");
    struct oas_at v = oas_in(all, json_get(all.json, name));
    struct oas_at def = oas_get(v, "default");

    *value = oas_scalar(def.json);
    if (value->p)
        return true;
    oas_error(l, v.json ? v : server,
              "the server variable \"%.*s\" needs a default, a string: add "
              "variables: {%.*s: {default: \"…\"}}",
              STR_ARG(name), STR_ARG(name));
    return false;
}

/* The URL of a server with its variables replaced. */
static bool expand(struct oas_load *l, struct oas_at server, struct str url,
                   struct str *out)
{
    char *p = arena_raw(l->scratch, OAS_TEXT_MAX);
    size_t n = 0;

    while (url.len) {
        struct str part = str_head(url, str_find(url, '{'));

        if (!part.len) {
            size_t end = str_find(url, '}');

            if (end == url.len) {
                oas_error(l, server, "a } is missing in the server's URL");
                return false;
            }
            if (!variable(l, server, str_from(url.p + 1, end - 1), &part))
                return false;
            url = str_skip(url, end + 1);
        } else {
            url = str_skip(url, part.len);
        }
        if (part.len > OAS_TEXT_MAX - n) {
            oas_error(l, server, "a server's URL may have at most %d bytes",
                      OAS_TEXT_MAX);
            return false;
        }
        if (part.len)
            memcpy(p + n, part.p, part.len);
        n += part.len;
    }
    *out = str_from(p, n);
    return true;
}

static bool is_letter(char c)
{
    c = char_lower(c);
    return c >= 'a' && c <= 'z';
}

/* Begins with a scheme (or with what could be one: "localhost:8080/x"). */
static bool is_absolute(struct str url)
{
    size_t colon = str_find(url, ':');

    return url.len && is_letter(url.p[0]) && colon < url.len &&
           colon < str_find(url, '/');
}

/* //host/path and host.example/path, which are meant to be absolute. */
static bool lacks_scheme(struct str url)
{
    struct str first = str_head(url, str_find(url, '/'));

    return str_starts(url, STR("//")) || str_find(first, '.') < first.len;
}

/* The path of a server without scheme and host. Its parent is the place the
 * document was loaded from, which a gateway does not know, so everything is
 * taken as if it began there with "/". */
static bool relative_path(struct oas_load *l, struct oas_at at, struct str url,
                          struct str *path)
{
    struct str full = url;
    const char *why = NULL;

    if (str_starts(full, STR("./")))
        full = str_skip(full, 2);
    if (str_is(full, "."))
        full = STR("");
    if (lacks_scheme(full))
        why = "write it with its scheme, as https://HOST/PATH, or as /PATH";
    else if (full.len && full.p[0] != '/')
        full = arena_printf(l->scratch, "/%.*s", STR_ARG(full));
    if (!why)
        (void)oas_base_path(l->a, full, path, &why);
    if (why)
        oas_error(l, at, "cannot use the server \"%.*s\": %s", STR_ARG(url),
                  why);
    return !why;
}

/* The first of servers. NULL without an error: there is none. */
static struct oas_at first_server(struct oas_load *l, struct oas_at servers)
{
    struct oas_at none = { servers.file, NULL };

    if (!servers.json || !oas_is(l, servers, JSON_ARRAY, "servers"))
        return none;
    if (servers.json->count > OAS_LIST_MAX) {
        oas_error(l, servers, "servers may have at most %d items",
                  OAS_LIST_MAX);
        return none;
    }
    if (servers.json->first && !oas_is(l, oas_in(servers, servers.json->first),
                                       JSON_OBJECT, "a server"))
        return none;
    return oas_in(servers, servers.json->first);
}

static bool server_url(struct oas_load *l, struct oas_at server,
                       struct str *url)
{
    struct oas_at at = oas_get(server, "url");

    if (!at.json || at.json->type != JSON_STRING) {
        oas_error(l, server, "a server needs a url, a string");
        return false;
    }
    return expand(l, server, at.json->text, url);
}

static struct oas_endpoints *one(struct oas_load *l, struct oas_at at,
                                 struct oas_endpoint e)
{
    struct oas_endpoints *out = arena_alloc(l->a, sizeof(*out));

    out->items = arena_alloc(l->a, sizeof(e));
    out->items[0] = e;
    out->count = 1;
    out->file = at.file->path;
    out->line = oas_line(at.json);
    return out;
}

const struct oas_endpoints *oas_servers_of(struct oas_load *l,
                                           struct oas_at servers)
{
    struct oas_at server = first_server(l, servers);
    struct oas_endpoint e;
    struct str url;

    if (!server.json || !server_url(l, server, &url))
        return NULL;
    if (!is_absolute(url)) {
        oas_warn(l, server,
                 "the server \"%.*s\" has no host and is not "
                 "used: calls go where those of the API go",
                 STR_ARG(url));
        return NULL;
    }
    if (!oas_spend(l, server, 1) || !oas_endpoint_url(l, server, url, &e))
        return NULL;
    return one(l, server, e);
}

/* Takes the API's endpoint and context from an absolute URL. */
static void use_url(struct oas_load *l, struct oas_at at, struct str url)
{
    struct oas_endpoint e;

    if (!oas_endpoint_url(l, at, url, &e))
        return;
    l->out->production = one(l, at, e);
    l->out->context = e.url.path;
}

static void servers_3(struct oas_load *l)
{
    struct oas_at server = first_server(l, oas_get(l->root, "servers"));
    struct str url;

    if (!server.json || !server_url(l, server, &url))
        return;
    if (is_absolute(url))
        use_url(l, server, url);
    else
        (void)relative_path(l, server, url, &l->out->context);
}

/* The scheme to call a 2.0 document's host by: https when it may. */
static const char *scheme_2(struct oas_load *l)
{
    struct oas_at schemes = oas_get(l->root, "schemes");
    const char *found = NULL;

    if (!schemes.json)
        return "https";
    if (!oas_is(l, schemes, JSON_ARRAY, "schemes"))
        return NULL;
    for (const struct json *j = schemes.json->first; j; j = j->next) {
        if (str_eq_nocase(json_str(j), STR("https")))
            return "https";
        if (str_eq_nocase(json_str(j), STR("http")))
            found = "http";
    }
    if (!found)
        oas_error(l, schemes, "schemes must have http or https");
    return found;
}

static void servers_2(struct oas_load *l)
{
    struct oas_at host = oas_get(l->root, "host");
    struct oas_at base = oas_get(l->root, "basePath");
    struct str path = json_str(base.json);
    const char *scheme, *why = NULL;

    if (base.json && base.json->type != JSON_STRING)
        why = "a path is a string";
    else
        (void)oas_base_path(l->a, path, &l->out->context, &why);
    if (why)
        oas_error(l, base, "cannot use basePath \"%.*s\": %s", STR_ARG(path),
                  why);
    if (host.json && !json_str(host.json).len) {
        oas_error(l, host, "host must be a name, with a port if need be");
        return;
    }
    if (why || !host.json)
        return;
    scheme = scheme_2(l);
    if (scheme)
        use_url(l, host,
                arena_printf(l->scratch, "%s://%.*s%.*s", scheme,
                             STR_ARG(host.json->text),
                             STR_ARG(l->out->context)));
}

/* info.version as one segment of a path, escaped where need be. */
static bool version_segment(struct oas_load *l, struct oas_at at,
                            struct str *out)
{
    static const char hex[] = "0123456789ABCDEF";
    struct str v = l->out->api_version;
    char *p = arena_raw(l->scratch, 3 * v.len + 1);
    size_t n = 0;

    if (!v.len || is_dots(v) || str_find(v, '/') < v.len) {
        oas_error(l, at,
                  "x-wso2-basePath has {version}, but info.version "
                  "\"%.*s\" cannot be a segment of a path",
                  STR_ARG(v));
        return false;
    }
    for (size_t i = 0; i < v.len; i++) {
        unsigned char c = (unsigned char)v.p[i];

        if (is_letter((char)c) || (c >= '0' && c <= '9') ||
            (c && strchr("-._~!$&'()*+,;=:@", c))) {
            p[n++] = (char)c;
            continue;
        }
        p[n++] = '%';
        p[n++] = hex[c >> 4];
        p[n++] = hex[c & 15];
    }
    *out = str_from(p, n);
    return true;
}

/* Writes path with {version} replaced. With `whole` only those that are a
 * segment, which vanish with their slash. *found counts them. */
static struct str fill(struct arena *a, struct str path, struct str version,
                       bool whole, size_t *found)
{
    const struct str name = STR("{version}");
    size_t room = path.len + (path.len / name.len + 1) * version.len;
    char *p = arena_raw(a, room + 1);
    size_t n = 0;

    *found = 0;
    while (path.len) {
        bool here = str_starts(path, name);
        struct str rest = str_skip(path, name.len);

        if (here && whole && n && p[n - 1] == '/' &&
            (!rest.len || rest.p[0] == '/')) {
            n--;
        } else if (here) {
            memcpy(p + n, version.p, version.len);
            n += version.len;
        } else {
            p[n++] = path.p[0];
            path = str_skip(path, 1);
            continue;
        }
        ++*found;
        path = rest;
    }
    return str_from(p, n);
}

/* Whether {version} is a whole segment of path. */
static bool has_whole(struct str path)
{
    while (path.p)
        if (str_is(str_cut(&path, '/'), "{version}"))
            return true;
    return false;
}

static void base_path(struct oas_load *l)
{
    struct oas_at at = oas_get(l->root, "x-wso2-basePath");
    struct str text = json_str(at.json), version = STR("");
    struct str full, bare;
    const char *why = NULL;
    size_t found;

    if (!at.json)
        return;
    if (!text.len || text.len > OAS_TEXT_MAX ||
        l->out->api_version.len > OAS_TEXT_MAX) {
        oas_error(l, at, "x-wso2-basePath must be a path of at most %d bytes",
                  OAS_TEXT_MAX);
        return;
    }
    (void)fill(l->scratch, text, version, false, &found);
    if (found && !version_segment(l, at, &version))
        return;
    full = fill(l->scratch, text, version, false, &found);
    bare = fill(l->scratch, text, version, true, &found);
    l->out->has_versioned = has_whole(text);
    if (oas_base_path(l->a, full, &l->out->context, &why) &&
        l->out->has_versioned)
        (void)oas_base_path(l->a, bare, &l->out->context_unversioned, &why);
    if (why)
        oas_error(l, at, "cannot use x-wso2-basePath \"%.*s\": %s",
                  STR_ARG(text), why);
}

void oas_servers(struct oas_load *l)
{
    struct oas_where nowhere = { 0 };
    struct oas_at production = oas_get(l->root, "x-wso2-production-endpoints");
    struct oas_at sandbox = oas_get(l->root, "x-wso2-sandbox-endpoints");

    l->out->context = STR("");
    if (l->out->version == OAS_2_0)
        servers_2(l);
    else
        servers_3(l);
    base_path(l);
    if (production.json)
        l->out->production = oas_endpoints(l, production, &nowhere);
    l->out->sandbox = oas_endpoints(l, sandbox, &nowhere);
    l->out->relative_server = !l->out->production && !l->out->sandbox;
}
