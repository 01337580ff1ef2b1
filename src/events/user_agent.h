/* user_agent.h - the family of a client and its platform, from User-Agent.
 *
 * The words analytics groups by; a client that nobody knows is named by its
 * first product ("curl", "okhttp"), as RFC 9110 section 10.1.5 orders them.
 */
#ifndef TG_EVENTS_USER_AGENT_H
#define TG_EVENTS_USER_AGENT_H

#include "base/str.h"

struct user_agent {
    struct str family;   /* "Chrome", "Firefox", …; a part of text */
    struct str platform; /* "Windows", "Android", …; "" when not known */
};

struct user_agent user_agent_parse(struct str text);

#endif
