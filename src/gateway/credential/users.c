/* users.c - see users.h. */
#include "gateway/credential/users.h"

#include "base/map.h"
#include "gateway/credential/password.h"

struct users {
    struct map *by_name;
};

const struct conf_field user_fields[] = {
    { .name = "name",
      .type = CONF_STRING,
      .at = offsetof(struct user_conf, name),
      .required = true,
      .help = "What the caller sends, to the letter. It has no colon." },
    { .name = "password",
      .type = CONF_STRING,
      .at = offsetof(struct user_conf, password),
      .required = true,
      .help = "The hash of the password, as `tollgate password` makes it "
              "(argon2id). @sha256:{hex}, @sha512:{hex} and hex of SHA-1 are "
              "taken for those who move here." },
    { .name = "scopes",
      .type = CONF_STRINGS,
      .at = offsetof(struct user_conf, scopes),
      .help = "Scopes the user has." },
    { 0 },
};

static struct user *make(struct arena *a, const struct user_conf *c, bool slow)
{
    struct user *u = arena_alloc(a, sizeof(*u));
    struct str *scopes = arena_alloc(a, c->scopes.count * sizeof(*scopes) + 1);

    for (size_t i = 0; i < c->scopes.count; i++)
        scopes[i] = arena_copy(a, c->scopes.items[i]);
    u->name = arena_copy(a, c->name);
    u->password = arena_copy(a, c->password);
    u->scopes = scopes;
    u->scope_count = c->scopes.count;
    u->slow = slow;
    return u;
}

enum err users_new(struct arena *a, const struct conf_list *conf,
                   struct str file, struct problems *ps, struct users **out)
{
    const struct user_conf *c = conf->items;
    struct users *u = arena_alloc(a, sizeof(*u));
    size_t errors = ps->errors;

    u->by_name = map_new(a);
    for (size_t i = 0; i < conf->count; i++) {
        enum password_form form = PASSWORD_SHA;
        const char *why = "";
        struct user *made;

        if (password_check_form(c[i].password, &form, &why))
            problem_error(ps, file, 0, "gateway.users[%zu].password %s", i,
                          why);
        if (!c[i].name.len || str_find(c[i].name, ':') < c[i].name.len)
            problem_error(ps, file, 0,
                          "gateway.users[%zu].name must not be empty or have "
                          "a colon",
                          i);
        made = make(a, &c[i], form == PASSWORD_ARGON2ID);
        if (map_set(u->by_name, made->name, made))
            problem_error(ps, file, 0, "gateway.users[%zu].name is there twice",
                          i);
    }
    if (ps->errors > errors)
        return ERR_INVALID;
    *out = u;
    return ERR_OK;
}

size_t users_count(const struct users *u)
{
    return map_count(u->by_name);
}

const struct user *users_find(const struct users *u, struct str name)
{
    return map_get(u->by_name, name);
}
