/* countries.c - see countries.h. */
#include "gateway/deny/countries.h"

#include <errno.h>
#include <fcntl.h>
#include <maxminddb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"

enum { FILE_MAX_BYTES = 1 << 30 };
enum { NODES_LOOKED_AT = 100000, ENTRIES_LOOKED_AT = 1000 };

struct countries {
    MMDB_s db;
};

static enum err bad(struct problems *ps, struct str path, enum err e,
                    const char *why)
{
    problem_error(ps, path, 0,
                  "is no database of countries: %s; a file like "
                  "GeoLite2-Country.mmdb is wanted (gateway.access."
                  "country_file)",
                  why);
    return e;
}

/* ---- the copy ---- */

static bool copy(int from, int to)
{
    ssize_t n;

    while ((n = sendfile(to, from, NULL, 1 << 20)) != 0)
        if (n < 0 && errno != EINTR)
            return false;
    return !fcntl(to, F_ADD_SEALS,
                  F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
}

static enum err copy_file(struct str path, struct problems *ps, int *out)
{
    int from = open(path.p, O_RDONLY | O_CLOEXEC), to;
    struct stat s;
    enum err e = ERR_OK;

    if (from < 0)
        return bad(ps, path, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO,
                   strerrordesc_np(errno));
    to = memfd_create("countries", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (to < 0 || fstat(from, &s))
        e = bad(ps, path, ERR_IO, strerrordesc_np(errno));
    else if (s.st_size > FILE_MAX_BYTES)
        e = bad(ps, path, ERR_LIMIT, "it is larger than 1g");
    else if (!copy(from, to))
        e = bad(ps, path, ERR_IO, strerrordesc_np(errno));
    close(from);
    if (e && to >= 0)
        close(to);
    *out = to;
    return e;
}

/* ---- what it knows ---- */

static bool read_code(const MMDB_entry_s *entry, char out[2])
{
    MMDB_entry_s at = *entry;
    MMDB_entry_data_s data;

    if (MMDB_get_value(&at, &data, "country", "iso_code", NULL) !=
            MMDB_SUCCESS ||
        !data.has_data || data.type != MMDB_DATA_TYPE_UTF8_STRING ||
        data.data_size != 2)
        return false;
    memcpy(out, data.utf8_string, 2);
    return true;
}

/* A database of networks or of names opens as well, and would block nobody. */
static bool knows_a_country(const MMDB_s *db)
{
    uint32_t nodes = db->metadata.node_count, entries = 0;
    MMDB_search_node_s n;
    char code[2];

    for (uint32_t i = 0;
         i < nodes && i < NODES_LOOKED_AT && entries < ENTRIES_LOOKED_AT &&
         MMDB_read_node(db, i, &n) == MMDB_SUCCESS;
         i++) {
        bool left = n.left_record_type == MMDB_RECORD_TYPE_DATA;
        bool right = n.right_record_type == MMDB_RECORD_TYPE_DATA;

        entries += left + right;
        if ((left && read_code(&n.left_record_entry, code)) ||
            (right && read_code(&n.right_record_entry, code)))
            return true;
    }
    return false;
}

enum err countries_load(struct str path, struct problems *ps,
                        struct countries **out)
{
    struct countries *c;
    char name[32];
    int fd, status;
    enum err e = copy_file(path, ps, &fd);

    if (e)
        return e;
    c = x_new(sizeof(*c));
    snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
    status = MMDB_open(name, MMDB_MODE_MMAP, &c->db);
    close(fd);
    if (status != MMDB_SUCCESS) {
        x_free(c);
        return bad(ps, path, ERR_INVALID, MMDB_strerror(status));
    }
    if (!knows_a_country(&c->db)) {
        countries_free(c);
        return bad(ps, path, ERR_INVALID, "it has no country.iso_code");
    }
    *out = c;
    return ERR_OK;
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
    int error;

    if (!c)
        return false;
    found = look(&c->db, ip, &error);
    return error == MMDB_SUCCESS && found.found_entry &&
           read_code(&found.entry, out);
}
