/* tier_conditions.c - addresses and texts of calls, compared. */
#include "traffic/tier_conditions.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <arpa/inet.h>

#include "base/log.h"

enum {
    PATTERN_MAX = 1024,  /* bytes of an expression */
    NESTING_MAX = 50,    /* parentheses */
    STEPS_MAX = 10000,   /* of one match */
    DEPTH_MAX = 500,     /* of its backtracking */
    HEAP_MAX_KIB = 1024, /* it may take */
};

/* ---- addresses ---- */

static enum err parse_ip(struct str s, unsigned char out[16])
{
    char text[INET6_ADDRSTRLEN];
    struct in_addr four;
    struct in6_addr six;

    if (s.len >= sizeof(text))
        return ERR_INVALID;
    memcpy(text, s.p, s.len);
    text[s.len] = 0;
    if (strlen(text) != s.len)
        return ERR_INVALID;
    if (inet_pton(AF_INET, text, &four) == 1) {
        memset(out, 0, 10);
        memset(out + 10, 0xff, 2);
        memcpy(out + 12, &four, 4);
        return ERR_OK;
    }
    if (inet_pton(AF_INET6, text, &six) != 1)
        return ERR_INVALID;
    memcpy(out, &six, 16);
    return ERR_OK;
}

static enum err parse_network(struct str address, struct str bits_text,
                              unsigned char from[16], unsigned char to[16])
{
    uint64_t bits;

    if (parse_ip(address, from) || str_to_u64(bits_text, 128, &bits))
        return ERR_INVALID;
    if (str_find(address, ':') == address.len) {
        if (bits > 32)
            return ERR_INVALID;
        bits += 96;
    }
    memcpy(to, from, 16);
    for (uint64_t i = bits; i < 128; i++) {
        from[i / 8] &= (unsigned char)~(0x80 >> i % 8);
        to[i / 8] |= (unsigned char)(0x80 >> i % 8);
    }
    return ERR_OK;
}

enum err condition_ip(struct str s, unsigned char from[16],
                      unsigned char to[16])
{
    size_t slash = str_find(s, '/'), dash = str_find(s, '-');

    if (slash < s.len)
        return parse_network(str_head(s, slash), str_skip(s, slash + 1), from,
                             to);
    if (parse_ip(str_trim(str_head(s, dash)), from))
        return ERR_INVALID;
    memcpy(to, from, 16);
    if (dash == s.len)
        return ERR_OK;
    if (parse_ip(str_trim(str_skip(s, dash + 1)), to) ||
        memcmp(from, to, 16) > 0)
        return ERR_INVALID;
    return ERR_OK;
}

/* ---- expressions ---- */

static void free_regex(void *code)
{
    pcre2_code_free(code);
}

enum err condition_regex(struct arena *a, struct str s, void **out,
                         struct str *why)
{
    pcre2_compile_context *context;
    pcre2_code *code;
    PCRE2_SIZE at = 0;
    int error = 0;

    if (s.len > PATTERN_MAX) {
        *why = arena_printf(a, "longer than %d bytes", PATTERN_MAX);
        return ERR_INVALID;
    }
    context = pcre2_compile_context_create(NULL);
    must(context);
    pcre2_set_parens_nest_limit(context, NESTING_MAX);
    code = pcre2_compile((PCRE2_SPTR)s.p, s.len, PCRE2_NEVER_BACKSLASH_C,
                         &error, &at, context);
    pcre2_compile_context_free(context);
    if (!code) {
        PCRE2_UCHAR text[128];

        pcre2_get_error_message(error, text, sizeof(text));
        *why = arena_printf(a, "%s, at character %zu", (const char *)text,
                            (size_t)at + 1);
        return ERR_INVALID;
    }
    arena_defer(a, free_regex, code);
    *out = code;
    return ERR_OK;
}

bool condition_finds(const void *regex, struct str value)
{
    const pcre2_code *code = regex;
    pcre2_match_context *context = pcre2_match_context_create(NULL);
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    int found;

    must(context && data);
    pcre2_set_match_limit(context, STEPS_MAX);
    pcre2_set_depth_limit(context, DEPTH_MAX);
    pcre2_set_heap_limit(context, HEAP_MAX_KIB);
    found = pcre2_match(code, (PCRE2_SPTR)(value.p ? value.p : ""), value.len,
                        0, 0, data, context);
    pcre2_match_data_free(data);
    pcre2_match_context_free(context);
    return found >= 0; /* 0: more groups than we asked for */
}

/* ---- conditions ---- */

static struct str fact(const struct tier_condition *c,
                       const struct call_facts *f)
{
    struct str (*get)(void *arg, struct str name) = NULL;

    if (c->kind == CONDITION_HEADER)
        get = f->header;
    else if (c->kind == CONDITION_QUERY)
        get = f->query;
    else if (c->kind == CONDITION_CLAIM)
        get = f->claim;
    return get ? get(f->arg, c->name) : STR_NULL;
}

static bool meets(const struct tier_condition *c, const struct call_facts *f)
{
    struct str value;

    if (c->kind == CONDITION_IP)
        return memcmp(f->ip, c->from, 16) >= 0 && memcmp(f->ip, c->to, 16) <= 0;
    value = fact(c, f);
    if (!value.p)
        return false;
    if (c->regex)
        return condition_finds(c->regex, value);
    return !c->value.p || str_eq(value, c->value);
}

bool condition_meets(const struct tier_condition *c, const struct call_facts *f)
{
    return meets(c, f) != c->invert;
}
