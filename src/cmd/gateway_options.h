/* gateway_options.h - the command line that `tollgate gateway` and
 * `tollgate config` share, turned into settings.
 */
#ifndef TG_CMD_GATEWAY_OPTIONS_H
#define TG_CMD_GATEWAY_OPTIONS_H

#include "cmd/options.h"
#include "gateway/settings.h"

#define GATEWAY_WORDS "[FILE-OR-DIR…]"

extern const struct option gateway_options[];

/* Flags that were looked at once and are applied at every load. */
struct gateway_flags {
    const struct arguments *args;
    struct str file; /* tollgate.yaml; empty: none */
    bool threads_given;
    uint64_t threads;
};

/* ERR_INVALID with *wrong for a person. Takes ./tollgate.yaml when neither a
 * file nor documents are named and there is one; file stays empty else. args
 * must outlive flags. */
enum err gateway_flags(struct arena *a, const struct arguments *args,
                       struct gateway_flags *flags, struct str *wrong);

/* Nothing says what to serve: no file, no documents. */
bool gateway_flags_empty(const struct gateway_flags *flags);

/* Reads the file and applies the flags. Where nothing says where to listen:
 * HTTP on :8280 and HTTPS with the local certificate on :8243. */
enum err gateway_settings(struct arena *a, const struct gateway_flags *flags,
                          struct settings *out, struct problems *ps);

#endif
