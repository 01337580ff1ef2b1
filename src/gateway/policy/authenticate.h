/* authenticate.h - what an operation's security asks for, as data.
 */
#ifndef TG_GATEWAY_POLICY_AUTHENTICATE_H
#define TG_GATEWAY_POLICY_AUTHENTICATE_H

#include "gateway/credential/credential.h"

/* Compiles the requirements of in->operation. ERR_NOT_FOUND: it asks for
 * nothing; ERR_INVALID: something nobody can check, which was said. */
enum err auth_compile(const struct policy_input *in, struct auth *out);

/* What gateway.default_security wants of an operation whose document says
 * nothing; NULL: nothing, or it says something. */
const struct oas_scheme *auth_default(const struct oas_operation *o,
                                      const struct gateway_conf *conf);

#endif
