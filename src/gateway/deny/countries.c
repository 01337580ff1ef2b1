/* countries.c - see countries.h. */
#include "gateway/deny/countries.h"

#include <errno.h>
#include <maxminddb.h>
#include <netinet/in.h>

#include "base/arena.h"

struct countries {
    MMDB_s db;
};

enum err countries_load(struct str path, struct problems *ps,
                        struct countries **out)
{
    struct countries *c = x_new(sizeof(*c));
    struct arena *a = arena_new();
    int status = MMDB_open(arena_copy(a, path).p, MMDB_MODE_MMAP, &c->db);

    arena_free(a);
    if (status == MMDB_SUCCESS) {
        *out = c;
        return ERR_OK;
    }
    problem_error(ps, path, 0,
                  "is no database of countries: %s; a file like "
                  "GeoLite2-Country.mmdb is wanted (gateway.access."
                  "country_file)",
                  status == MMDB_FILE_OPEN_ERROR ? strerrordesc_np(errno)
                                                 : MMDB_strerror(status));
    x_free(c);
    return status == MMDB_FILE_OPEN_ERROR ? ERR_NOT_FOUND : ERR_INVALID;
}

void countries_free(struct countries *c)
{
    if (!c)
        return;
    MMDB_close(&c->db);
    x_free(c);
}

static MMDB_lookup_result_s look(const MMDB_s *db, const uint8_t ip[16],
                                 int *error)
{
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
    struct sockaddr_in four = { .sin_family = AF_INET };
    struct sockaddr_in6 six = { .sin6_family = AF_INET6 };

    if (memcmp(ip, mapped, sizeof(mapped)) == 0) {
        memcpy(&four.sin_addr, ip + 12, 4);
        return MMDB_lookup_sockaddr(db, (const struct sockaddr *)&four, error);
    }
    memcpy(&six.sin6_addr, ip, 16);
    return MMDB_lookup_sockaddr(db, (const struct sockaddr *)&six, error);
}

bool countries_find(const struct countries *c, const uint8_t ip[16],
                    char out[2])
{
    MMDB_lookup_result_s found;
    MMDB_entry_data_s data;
    int error;

    if (!c)
        return false;
    found = look(&c->db, ip, &error);
    if (error != MMDB_SUCCESS || !found.found_entry ||
        MMDB_get_value(&found.entry, &data, "country", "iso_code", NULL) !=
            MMDB_SUCCESS ||
        !data.has_data || data.type != MMDB_DATA_TYPE_UTF8_STRING ||
        data.data_size != 2)
        return false;
    memcpy(out, data.utf8_string, 2);
    return true;
}
