/* fuzz_password.c - hashes of passwords as somebody may write them: what is
 * taken is bounded, and comparing with it ends.
 */
#include "base/log.h"
#include "gateway/credential/password.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a = arena_new();
    struct str hash = arena_copy(a, str_from((const char *)data, size));
    enum password_form form;
    const char *why = NULL;

    if (password_check_form(hash, &form, &why))
        must(why);
    else if (form == PASSWORD_SHA)
        (void)password_matches(hash, STR("abc"));
    arena_free(a);
    return 0;
}
