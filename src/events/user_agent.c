/* user_agent.c - see user_agent.h. */
#include "events/user_agent.h"

struct word {
    const char *mark, *name;
};

/* The first that is found: those that claim to be others stand before them. */
static const struct word families[] = {
    { "Googlebot", "Googlebot" },
    { "bingbot", "Bingbot" },
    { "Edg/", "Edge" },
    { "EdgA/", "Edge" },
    { "Edge/", "Edge" },
    { "OPR/", "Opera" },
    { "Opera", "Opera" },
    { "SamsungBrowser/", "Samsung Internet" },
    { "Firefox/", "Firefox" },
    { "FxiOS/", "Firefox" },
    { "CriOS/", "Chrome" },
    { "HeadlessChrome/", "Chrome" },
    { "Chrome/", "Chrome" },
    { "Trident/", "Internet Explorer" },
    { "MSIE ", "Internet Explorer" },
    { "Safari/", "Safari" },
    { NULL, NULL },
};

static const struct word platforms[] = {
    { "Windows", "Windows" },
    { "Android", "Android" },
    { "iPhone", "iOS" },
    { "iPad", "iOS" },
    { "Mac OS X", "Mac OS X" },
    { "Macintosh", "Mac OS X" },
    { "CrOS", "Chrome OS" },
    { "Linux", "Linux" },
    { NULL, NULL },
};

static struct str look(const struct word *words, struct str text)
{
    for (; words->mark; words++)
        if (memmem(text.p, text.len, words->mark, strlen(words->mark)))
            return str_z(words->name);
    return STR_NULL;
}

/* The name of the first product: up to a slash, a space or a bracket. */
static struct str first_product(struct str text)
{
    size_t n = 0;

    while (n < text.len && n < 64 && text.p[n] != '/' && text.p[n] != ' ' &&
           text.p[n] != '(' && text.p[n] != ';')
        n++;
    return str_head(text, n);
}

struct user_agent user_agent_parse(struct str text)
{
    struct user_agent u = { STR_NULL, STR_NULL };

    text = str_head(text, 512);
    if (!text.len)
        return u;
    if (str_starts(text, STR("Mozilla/")) || str_starts(text, STR("Opera")))
        u.family = look(families, text);
    if (!u.family.len)
        u.family = first_product(text);
    if (memchr(text.p, '(', text.len))
        u.platform = look(platforms, text);
    return u;
}
