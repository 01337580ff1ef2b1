/* users.h - gateway.users: who may call with a name and a password.
 */
#ifndef TG_GATEWAY_CREDENTIAL_USERS_H
#define TG_GATEWAY_CREDENTIAL_USERS_H

#include "base/conf.h"
#include "base/problem.h"

struct user_conf {
    struct str name, password; /* its hash */
    struct conf_strings scopes;
};

extern const struct conf_field user_fields[];

struct user {
    struct str name, password;
    const struct str *scopes;
    size_t scope_count;
    bool slow; /* to compare */
};

struct users;

/* In the arena. ERR_INVALID with problems. */
enum err users_new(struct arena *a, const struct conf_list *conf,
                   struct str file, struct problems *ps, struct users **out);
size_t users_count(const struct users *u);
/* NULL: nobody. */
const struct user *users_find(const struct users *u, struct str name);

#endif
