/* test_tiers.c - policies files, shipped tiers, conditions, and the takes that
 * come of them. */
#include "traffic/fixture.h"
#include "traffic/tier_conditions.h"

struct file {
    struct arena *a;
    struct tiers ts;
    struct problems ps;
    enum err e;
};

static struct file parse(const char *text)
{
    struct file f = { .a = arena_new() };

    problems_init(&f.ps, f.a);
    f.e = tiers_parse(f.a, str_z(text), STR("policies.yaml"), &f.ts, &f.ps);
    return f;
}

static struct file parse_well(const char *text)
{
    struct file f = parse(text);

    if (f.e)
        fail_msg("%.*s", STR_ARG(problem_line(f.a, f.ps.first)));
    return f;
}

static void refuses(const char *text, const char *message)
{
    struct file f = parse(text);

    assert_int_equal(f.e, ERR_INVALID);
    assert_string_equal(problem_line(f.a, f.ps.first).p, message);
    arena_free(f.a);
}

/* ---- shipped ---- */

static void is_shipped(const struct tiers *ts, enum tier_level level,
                       const char *name, uint64_t limit, enum window_unit unit)
{
    const struct tier *t = tiers_find(ts, level, str_z(name));

    assert_non_null(t);
    assert_true(t->shipped);
    if (!limit) {
        assert_int_equal(t->limit_count, 0);
        return;
    }
    assert_int_equal(t->limit_count, 1);
    assert_int_equal(t->limits[0].limit, limit);
    assert_int_equal(t->limits[0].window.unit, unit);
    assert_int_equal(t->limits[0].window.n, 1);
    assert_false(t->limits[0].mark_only);
}

static void the_models_tiers_exist_without_a_file(void **state)
{
    struct file f = parse_well("");
    const struct tiers *ts = &f.ts;
    (void)state;

    is_shipped(ts, TIER_RESOURCE, "10KPerMin", 10000, WINDOW_MINUTE);
    is_shipped(ts, TIER_RESOURCE, "20KPerMin", 20000, WINDOW_MINUTE);
    is_shipped(ts, TIER_RESOURCE, "50KPerMin", 50000, WINDOW_MINUTE);
    is_shipped(ts, TIER_RESOURCE, "10kPerMin", 10000, WINDOW_MINUTE);
    is_shipped(ts, TIER_RESOURCE, "Unlimited", 0, WINDOW_MINUTE);
    is_shipped(ts, TIER_APPLICATION, "10PerMin", 10, WINDOW_MINUTE);
    is_shipped(ts, TIER_APPLICATION, "20PerMin", 20, WINDOW_MINUTE);
    is_shipped(ts, TIER_APPLICATION, "50PerMin", 50, WINDOW_MINUTE);
    is_shipped(ts, TIER_APPLICATION, "Unlimited", 0, WINDOW_MINUTE);
    is_shipped(ts, TIER_SUBSCRIPTION, "Bronze", 1000, WINDOW_MINUTE);
    is_shipped(ts, TIER_SUBSCRIPTION, "Silver", 2000, WINDOW_MINUTE);
    is_shipped(ts, TIER_SUBSCRIPTION, "Gold", 5000, WINDOW_MINUTE);
    is_shipped(ts, TIER_SUBSCRIPTION, "Unauthenticated", 500, WINDOW_MINUTE);
    is_shipped(ts, TIER_SUBSCRIPTION, "Default", 500, WINDOW_MINUTE);
    is_shipped(ts, TIER_SUBSCRIPTION, "DefaultSubscriptionless", 10000,
               WINDOW_MINUTE);
    is_shipped(ts, TIER_STREAM, "AsyncBronze", 5000, WINDOW_DAY);
    is_shipped(ts, TIER_STREAM, "AsyncSilver", 25000, WINDOW_DAY);
    is_shipped(ts, TIER_STREAM, "AsyncGold", 50000, WINDOW_DAY);
    is_shipped(ts, TIER_STREAM, "AsyncUnlimited", 0, WINDOW_DAY);
    is_shipped(ts, TIER_STREAM, "AsyncDefaultSubscriptionless", 10000,
               WINDOW_DAY);
    is_shipped(ts, TIER_STREAM, "AsyncWHBronze", 1000, WINDOW_MONTH);
    is_shipped(ts, TIER_STREAM, "AsyncWHSilver", 5000, WINDOW_MONTH);
    is_shipped(ts, TIER_STREAM, "AsyncWHGold", 10000, WINDOW_MONTH);
    assert_int_equal(
        tiers_find(ts, TIER_STREAM, STR("AsyncWHSilver"))->subscribers, 500);
    assert_null(tiers_find(ts, TIER_APPLICATION, STR("Gold")));
    assert_string_equal(tiers_nearest(ts, TIER_SUBSCRIPTION, STR("Glod")).p,
                        "Gold");
    arena_free(f.a);
}

/* ---- the model's form ---- */

static void a_microgateways_policies_file_is_read(void **state)
{
    struct file f = parse_well("---\n"
                               "resourcePolicies:\n"
                               "  - 50kPerMin:\n"
                               "      count: 50000\n"
                               "      unitTime: 1\n"
                               "      timeUnit: min\n"
                               "  - Mine: {count: 7, unitTime: 2, "
                               "timeUnit: hour}\n"
                               "applicationPolicies:\n"
                               "  - 10PerMin:\n"
                               "      count: '11'\n"
                               "      unitTime: 1\n"
                               "      timeUnit: min\n"
                               "subscriptionPolicies:\n"
                               "  - Bronze:\n"
                               "      count: 10\n"
                               "      unitTime: 1\n"
                               "      timeUnit: min\n"
                               "      stopOnQuotaReach: false\n"
                               "  - name: Flat\n"
                               "    count: 5\n"
                               "    unitTime: 1\n"
                               "    timeUnit: month\n");
    const struct tier *t = tiers_find(&f.ts, TIER_RESOURCE, STR("Mine"));
    (void)state;

    assert_int_equal(t->limits[0].limit, 7);
    assert_int_equal(t->limits[0].window.unit, WINDOW_HOUR);
    assert_int_equal(t->limits[0].window.n, 2);
    assert_int_equal(t->limits[0].per_count, 0); /* all callers together */
    /* The file's goes before the shipped one. */
    t = tiers_find(&f.ts, TIER_SUBSCRIPTION, STR("Bronze"));
    assert_int_equal(t->limits[0].limit, 10);
    assert_true(t->limits[0].mark_only);
    assert_int_equal(t->limits[0].per[0].kind, TIER_PER_KEY);
    t = tiers_find(&f.ts, TIER_APPLICATION, STR("10PerMin"));
    assert_int_equal(t->limits[0].limit, 11);
    assert_int_equal(t->limits[0].per_count, 2); /* application and user */
    t = tiers_find(&f.ts, TIER_SUBSCRIPTION, STR("Flat"));
    assert_int_equal(t->limits[0].window.unit, WINDOW_MONTH);
    arena_free(f.a);
}

static void every_time_unit_of_the_model_is_known(void **state)
{
    static const char *const units[] = { "sec",  "min",   "hour", "day",
                                         "week", "month", "year" };
    (void)state;

    for (int i = 0; i < 7; i++) {
        char text[200];
        struct file f;

        snprintf(text, sizeof(text),
                 "resourcePolicies:\n- A: {count: 1, unitTime: 1, "
                 "timeUnit: %s}\n",
                 units[i]);
        f = parse_well(text);
        assert_int_equal(f.ts.all[0]->limits[0].window.unit, i);
        arena_free(f.a);
    }
}

static void what_is_wrong_in_a_policies_file_is_said_with_its_line(void **state)
{
    (void)state;
    refuses("resourcePolicy:\n- A: {}\n",
            "policies.yaml:1: unknown key resourcePolicy; did you mean "
            "resourcePolicies? tiers, resourcePolicies, applicationPolicies "
            "and subscriptionPolicies are known");
    refuses("resourcePolicies:\n- A: {count: 1, unitTime: 1, timeUnits: min}\n",
            "policies.yaml:2: unknown key timeUnits; did you mean timeUnit?");
    refuses("resourcePolicies:\n- A: {count: 1, unitTime: 1, timeUnit: eon}\n",
            "policies.yaml:2: timeUnit must be one of sec, min, hour, day, "
            "week, month, year, got \"eon\"");
    refuses("resourcePolicies:\n- A: {count: -1, unitTime: 1, timeUnit: min}\n",
            "policies.yaml:2: count must be a whole number between 1 and "
            "2199023255552");
    refuses("resourcePolicies:\n- A:\n  count: 1\n  unitTime: 1\n"
            "  timeUnit: min\n",
            "policies.yaml:2: unknown key A");
    refuses("resourcePolicies:\n- A: {count: 1}\n",
            "policies.yaml:2: a policy is NAME: {count: 1000, unitTime: 1, "
            "timeUnit: min}; mind that count stands deeper than the name");
    refuses("resourcePolicies:\n- A: {count: 1, unitTime: 1, timeUnit: min}\n"
            "- A: {count: 2, unitTime: 1, timeUnit: min}\n",
            "policies.yaml:3: tier A is there twice; rename one of them");
    refuses(
        "resourcePolicies:\n- A: {count: 1, unitTime: 99, timeUnit: year}\n",
        "policies.yaml:2: A: unitTime and timeUnit make more than ten "
        "years");
    refuses("tiers: 1\n",
            "policies.yaml:1: tiers must be a list of at most 10000 entries");
    refuses("- a\n", "policies.yaml:1: a policies file is a section with "
                     "tiers");
}

/* ---- our own form ---- */

static void a_tier_of_ours_is_read(void **state)
{
    struct file f =
        parse_well("tiers:\n"
                   "- name: Platinum\n"
                   "  description: for the best\n"
                   "  level: subscription\n"
                   "  limits:\n"
                   "  - requests: 5000\n"
                   "  - {bytes: 10g, window: 1month, per: [user, api]}\n"
                   "  - {requests: 100, window: 1s, burst: 20, per: ip}\n"
                   "  burst_control: {requests: 10}\n"
                   "  concurrency: 50\n");
    const struct tier *t =
        tiers_find(&f.ts, TIER_SUBSCRIPTION, STR("Platinum"));
    (void)state;

    assert_int_equal(t->limit_count, 3);
    assert_int_equal(t->limits[0].limit, 5000);
    assert_int_equal(t->limits[0].window.unit, WINDOW_MINUTE);
    assert_int_equal(t->limits[0].per_count, 1);
    assert_int_equal(t->limits[0].per[0].kind, TIER_PER_KEY);
    assert_int_equal(t->limits[1].unit, TIER_BYTES);
    assert_int_equal(t->limits[1].limit, 10ull << 30);
    assert_int_equal(t->limits[1].per[1].kind, TIER_PER_API);
    assert_int_equal(t->limits[2].kind, TAKE_RATE);
    assert_int_equal(t->limits[2].interval_us, 10000);
    assert_int_equal(t->limits[2].limit, 20);
    assert_int_equal(t->limits[2].per[0].kind, TIER_PER_IP);
    assert_int_equal(t->burst->limit, 10);
    assert_int_equal(t->burst->window.unit, WINDOW_SECOND);
    assert_int_equal(t->concurrency->limit, 50);
    assert_int_equal(t->concurrency->kind, TAKE_AT_ONCE);
    assert_null(tiers_find(&f.ts, TIER_APPLICATION, STR("Platinum")));
    arena_free(f.a);
}

static void a_rate_is_never_more_than_asked_for(void **state)
{
    struct file f = parse_well("tiers:\n- {name: A, limits: [{requests: 7, "
                               "window: 1s, burst: 1}]}\n");
    (void)state;

    assert_int_equal(f.ts.all[0]->limits[0].interval_us, 142858);
    arena_free(f.a);
}

static void what_is_wrong_in_a_tier_is_said_with_its_line(void **state)
{
    (void)state;
    refuses("tiers:\n- name: A\n  limit: []\n",
            "policies.yaml:3: unknown key tiers[0].limit; did you mean "
            "limits?");
    refuses("tiers:\n- name: A\n  limits:\n  - {request: 1}\n",
            "policies.yaml:4: unknown key tiers[0].limits[0].request; did you "
            "mean requests?");
    refuses("tiers:\n- name: A\n  limits:\n  - {requests: 1, bytes: 1}\n",
            "policies.yaml:4: tier A: a limit has one of requests, bytes and "
            "events, and at least 1 of it");
    refuses("tiers:\n- name: A\n  limits:\n  - {requests: 1, window: 1x}\n",
            "policies.yaml:4: tier A: window must be a number of s, m, h, d, "
            "w, month or y, such as 1m, got \"1x\"");
    refuses("tiers:\n- name: A\n  limits:\n  - {requests: 1, window: 2y}\n"
            "  - {requests: 1, window: 20y}\n",
            "policies.yaml:5: tier A: window must be between 1s and 10y, got "
            "\"20y\"");
    refuses("tiers:\n- name: A\n  limits:\n  - {requests: 1, per: sun}\n",
            "policies.yaml:4: tier A: per must be of key, user, ip, api, "
            "operation, header:NAME, claim:NAME, or all alone; got \"sun\"");
    refuses("tiers:\n- name: A\n  limits:\n  - {bytes: 1k, burst: 3}\n",
            "policies.yaml:4: tier A: burst goes with requests and a window "
            "of weeks at most; leave it out for a quota");
    refuses("tiers:\n- name: A\n  limits:\n  - {requests: 1, window: 1w, "
            "burst: 5}\n",
            "policies.yaml:4: tier A: a burst of 5 would take longer than 25 "
            "days to come back; make it smaller");
    refuses("tiers:\n- name: A\n  limits:\n  - requests: 1\n  - requests: 2\n",
            "policies.yaml:5: tier A: two limits count the same in the same "
            "window; leave the larger one out");
    refuses("tiers:\n- name: A\n  conditions:\n  - when:\n"
            "    - {header: X, regex: '(a'}\n",
            "policies.yaml:5: tier A: regex \"(a\": missing closing "
            "parenthesis, at character 3");
    refuses("tiers:\n- name: A\n  conditions:\n  - when:\n    - ip: 1.2.3\n",
            "policies.yaml:5: tier A: ip must be an address, a network "
            "(10.0.0.0/8) or a range (10.0.0.1-10.0.0.9), got \"1.2.3\"");
    refuses("tiers:\n- name: A\n  conditions:\n  - when:\n"
            "    - {ip: 1.2.3.4, header: X}\n",
            "policies.yaml:5: tier A: a condition has one of ip, header, "
            "query and claim, and for the last three value or regex at most");
    refuses("tiers:\n- name: A\n  conditions:\n  - when: []\n",
            "policies.yaml:4: tier A: a group has between 1 and 16 "
            "conditions");
}

static void a_file_is_read_from_disk_and_a_missing_one_is_said(void **state)
{
    struct arena *a = arena_new();
    struct problems ps;
    struct tiers ts;
    (void)state;

    problems_init(&ps, a);
    assert_int_equal(tiers_read(a, STR(""), &ts, &ps), ERR_OK);
    assert_int_equal(tiers_read(a, STR("/nowhere/policies.yaml"), &ts, &ps),
                     ERR_IO);
    assert_string_equal(problem_line(a, ps.first).p,
                        "/nowhere/policies.yaml: cannot be read: No such file "
                        "or directory");
    arena_free(a);
}

/* ---- conditions ---- */

struct pairs {
    const char *header, *query, *claim; /* value of "x", or NULL */
};

static struct str header_x(void *arg, struct str name)
{
    const struct pairs *p = arg;

    return str_eq_nocase(name, STR("x")) ? str_z(p->header) : STR_NULL;
}

static struct str query_x(void *arg, struct str name)
{
    const struct pairs *p = arg;

    return str_is(name, "x") ? str_z(p->query) : STR_NULL;
}

static struct str claim_x(void *arg, struct str name)
{
    const struct pairs *p = arg;

    return str_is(name, "x") ? str_z(p->claim) : STR_NULL;
}

static struct call_facts facts(struct pairs *p, const char *ip)
{
    struct call_facts f = { .header = header_x,
                            .query = query_x,
                            .claim = claim_x,
                            .arg = p,
                            .key = STR("app"),
                            .user = STR("user") };
    unsigned char to[16];

    must(!condition_ip(str_z(ip), f.ip, to));
    return f;
}

/* The limit a call is under: 1 is the group's, 9 the default. */
static uint64_t limit_of(const char *condition, struct pairs p, const char *ip)
{
    char text[512];
    struct file f;
    const struct tier_limit *out[TIER_TAKES_MAX];
    struct call_facts call = facts(&p, ip);
    uint64_t limit;

    snprintf(text, sizeof(text),
             "tiers:\n- name: A\n  limits: [{requests: 9}]\n  conditions:\n"
             "  - when: [%s]\n    limits: [{requests: 1}]\n",
             condition);
    f = parse_well(text);
    assert_int_equal(tier_select(f.ts.all[0], &call, out), 1);
    limit = out[0]->limit;
    arena_free(f.a);
    return limit;
}

static void addresses_and_ranges_of_both_versions_match(void **state)
{
    const struct pairs none = { 0 };
    (void)state;

    assert_int_equal(limit_of("{ip: 10.1.2.3}", none, "10.1.2.3"), 1);
    assert_int_equal(limit_of("{ip: 10.1.2.3}", none, "10.1.2.4"), 9);
    assert_int_equal(limit_of("{ip: 10.0.0.0/8}", none, "10.255.0.1"), 1);
    assert_int_equal(limit_of("{ip: 10.0.0.0/8}", none, "11.0.0.1"), 9);
    assert_int_equal(limit_of("{ip: 0.0.0.0/0}", none, "9.9.9.9"), 1);
    assert_int_equal(limit_of("{ip: 0.0.0.0/0}", none, "2001:db8::1"), 9);
    assert_int_equal(limit_of("{ip: 10.0.0.5-10.0.0.9}", none, "10.0.0.5"), 1);
    assert_int_equal(limit_of("{ip: 10.0.0.5-10.0.0.9}", none, "10.0.0.9"), 1);
    assert_int_equal(limit_of("{ip: 10.0.0.5-10.0.0.9}", none, "10.0.0.10"), 9);
    assert_int_equal(limit_of("{ip: '2001:db8::/32'}", none, "2001:db8:1::1"),
                     1);
    assert_int_equal(
        limit_of("{ip: '2001:db8::1-2001:db8::5'}", none, "2001:db8::6"), 9);
    assert_int_equal(limit_of("{ip: 10.1.2.3, invert: true}", none, "10.1.2.4"),
                     1);
}

static void
headers_queries_and_claims_match_exactly_or_by_expression(void **state)
{
    (void)state;
    assert_int_equal(limit_of("{header: X, value: gold}",
                              (struct pairs) { .header = "gold" }, "1.1.1.1"),
                     1);
    assert_int_equal(limit_of("{header: X, value: gold}",
                              (struct pairs) { .header = "golden" }, "1.1.1.1"),
                     9);
    assert_int_equal(limit_of("{header: X, regex: '^Moz.*5'}",
                              (struct pairs) { .header = "Mozilla/5.0" },
                              "1.1.1.1"),
                     1);
    assert_int_equal(limit_of("{header: X, regex: 'zill'}",
                              (struct pairs) { .header = "Mozilla" },
                              "1.1.1.1"),
                     1);
    assert_int_equal(limit_of("{header: X, regex: 'zill$'}",
                              (struct pairs) { .header = "Mozilla" },
                              "1.1.1.1"),
                     9);
    assert_int_equal(
        limit_of("{header: X}", (struct pairs) { .header = "" }, "1.1.1.1"), 1);
    assert_int_equal(limit_of("{header: X}", (struct pairs) { 0 }, "1.1.1.1"),
                     9);
    assert_int_equal(limit_of("{query: x, value: '1'}",
                              (struct pairs) { .query = "1" }, "1.1.1.1"),
                     1);
    assert_int_equal(limit_of("{query: y, value: '1'}",
                              (struct pairs) { .query = "1" }, "1.1.1.1"),
                     9);
    assert_int_equal(limit_of("{claim: x, regex: '^(a|b)$'}",
                              (struct pairs) { .claim = "b" }, "1.1.1.1"),
                     1);
    assert_int_equal(limit_of("{claim: x, value: b, invert: true}",
                              (struct pairs) { 0 }, "1.1.1.1"),
                     1);
}

static void all_conditions_of_a_group_must_be_met(void **state)
{
    (void)state;
    assert_int_equal(limit_of("{header: X, value: a}, {ip: 10.0.0.0/8}",
                              (struct pairs) { .header = "a" }, "10.0.0.1"),
                     1);
    assert_int_equal(limit_of("{header: X, value: a}, {ip: 10.0.0.0/8}",
                              (struct pairs) { .header = "b" }, "10.0.0.1"),
                     9);
    assert_int_equal(limit_of("{header: X, value: a}, {ip: 10.0.0.0/8}",
                              (struct pairs) { .header = "a" }, "11.0.0.1"),
                     9);
}

/* Exponential without a bound. */
static void an_expression_that_never_ends_does_not_match(void **state)
{
    char value[4096];
    (void)state;

    memset(value, 'a', sizeof(value) - 1);
    value[sizeof(value) - 1] = 0;
    assert_int_equal(limit_of("{header: X, regex: '^(a+)+$x'}",
                              (struct pairs) { .header = value }, "1.1.1.1"),
                     9);
    assert_int_equal(limit_of("{header: X, regex: '^(([a-z])+.)+[A-Z]'}",
                              (struct pairs) { .header = value }, "1.1.1.1"),
                     9);
}

static void a_call_in_several_groups_is_under_all_their_limits(void **state)
{
    struct file f = parse_well(
        "tiers:\n- name: A\n  limits: [{requests: 9}]\n  concurrency: 4\n"
        "  conditions:\n"
        "  - {when: [{header: x}], limits: [{requests: 1}]}\n"
        "  - {when: [{query: x}], limits: [{requests: 2}]}\n"
        "  - {when: [{claim: x}], limits: [{requests: 3}]}\n"
        "  - {when: [{ip: 10.0.0.0/8}], limits: [{requests: 4}]}\n"
        "  - {when: [{ip: 11.0.0.0/8}]}\n");
    struct pairs p = { "", "", "" };
    struct call_facts call = facts(&p, "10.0.0.1");
    const struct tier_limit *out[TIER_TAKES_MAX];
    (void)state;

    assert_int_equal(tier_select(f.ts.all[0], &call, out), 4);
    assert_int_equal(out[0]->limit, 1);
    assert_int_equal(out[1]->limit, 2);
    assert_int_equal(out[2]->limit, 3);
    assert_int_equal(out[3]->part, TIER_CONCURRENCY);
    p = (struct pairs) { 0 };
    assert_int_equal(tier_select(f.ts.all[0], &call, out), 2);
    assert_int_equal(out[0]->limit, 4);
    call = facts(&p, "12.0.0.1");
    assert_int_equal(tier_select(f.ts.all[0], &call, out), 2);
    assert_int_equal(out[0]->limit, 9);
    /* A group without limits is unlimited. */
    call = facts(&p, "11.0.0.1");
    assert_int_equal(tier_select(f.ts.all[0], &call, out), 1);
    arena_free(f.a);
}

/* ---- takes ---- */

static const struct limit_seed seed = { 1, 2 };

static struct take first_take(const struct file *f, const struct str *place,
                              size_t parts, const struct call_facts *call)
{
    struct tier_bound b;
    struct take takes[TIER_TAKES_MAX];
    const struct tier_limit *limits[TIER_TAKES_MAX];

    tier_bind(f->a, seed, f->ts.all[0], place, parts, &b);
    assert_true(tier_takes(&b, seed, call, false, takes, limits) >= 1);
    return takes[0];
}

static bool same(struct take a, struct take b)
{
    return a.key.a == b.key.a && a.key.b == b.key.b;
}

static void each_value_counted_by_has_its_own_counter(void **state)
{
    static const char *const per[] = { "key",     "user",      "ip",
                                       "api",     "operation", "header:x",
                                       "claim:x", "all" };
    const struct str place[] = { STR("org"), STR("/a/1"), STR("GET /b") };
    (void)state;

    for (int i = 0; i < 8; i++) {
        struct pairs p = { "h", "q", "c" }, q = p;
        struct call_facts one = facts(&p, "10.0.0.1"), two, *other = &two;
        char text[200];
        struct file f;

        snprintf(text, sizeof(text),
                 "tiers:\n- {name: A, limits: [{requests: 9, per: '%s'}]}\n",
                 per[i]);
        f = parse_well(text);
        /* The same in all but what is counted by. */
        two = facts(&q, "10.0.0.2");
        two.key = STR("app2");
        two.user = STR("user2");
        two.api = STR("api2");
        two.operation = STR("operation2");
        q = (struct pairs) { "h2", "q2", "c2" };
        if (i == 0)
            two.key = one.key;
        if (i == 1)
            two.user = one.user;
        if (i == 2)
            memcpy(two.ip, one.ip, 16);
        if (i == 3)
            two.api = one.api;
        if (i == 4)
            two.operation = one.operation;
        if (i == 5)
            q.header = "h";
        if (i == 6)
            q.claim = "c";
        assert_true(same(first_take(&f, place, 3, &one),
                         first_take(&f, place, 3, other)));
        /* And another in only that. */
        two = one;
        two.arg = &q;
        q = p;
        if (i == 0)
            two.key = STR("app2");
        if (i == 1)
            two.user = STR("user2");
        if (i == 2)
            two.ip[15]++;
        if (i == 3)
            two.api = STR("api2");
        if (i == 4)
            two.operation = STR("operation2");
        if (i == 5)
            q.header = "h2";
        if (i == 6)
            q.claim = "c2";
        assert_int_equal(same(first_take(&f, place, 3, &one),
                              first_take(&f, place, 3, &two)),
                         i == 7);
        arena_free(f.a);
    }
}

static void each_place_and_tier_has_its_own_counters(void **state)
{
    const struct str one[] = { STR("org"), STR("/a/1") };
    const struct str two[] = { STR("org"), STR("/a/2") };
    const struct str glued[] = { STR("org/a"), STR("/1") };
    struct file f =
        parse_well("tiers:\n- {name: A, limits: [{requests: 9}]}\n");
    struct file g =
        parse_well("tiers:\n- {name: B, limits: [{requests: 9}]}\n");
    struct file h =
        parse_well("tiers:\n- {name: A, limits: [{requests: 8}]}\n");
    struct pairs p = { 0 };
    struct call_facts call = facts(&p, "10.0.0.1");
    (void)state;

    assert_true(
        same(first_take(&f, one, 2, &call), first_take(&f, one, 2, &call)));
    assert_false(
        same(first_take(&f, one, 2, &call), first_take(&f, two, 2, &call)));
    assert_false(
        same(first_take(&f, one, 2, &call), first_take(&f, glued, 2, &call)));
    assert_false(
        same(first_take(&f, one, 2, &call), first_take(&f, one, 1, &call)));
    assert_false(
        same(first_take(&f, one, 2, &call), first_take(&g, one, 2, &call)));
    /* Only more or less is allowed: goes on counting. */
    assert_true(
        same(first_take(&f, one, 2, &call), first_take(&h, one, 2, &call)));
    arena_free(f.a);
    arena_free(g.a);
    arena_free(h.a);
}

static void bytes_events_and_marks_become_their_takes(void **state)
{
    struct file f =
        parse_well("tiers:\n- name: A\n  stop_on_quota: false\n  limits:\n"
                   "  - {bytes: 1k}\n  - {events: 5}\n  - {requests: 3}\n"
                   "  burst_control: {requests: 2}\n");
    const struct str place[] = { STR("org") };
    struct pairs p = { 0 };
    struct call_facts call = facts(&p, "10.0.0.1");
    struct take t[TIER_TAKES_MAX];
    const struct tier_limit *l[TIER_TAKES_MAX];
    struct tier_bound b;
    (void)state;

    tier_bind(f.a, seed, f.ts.all[0], place, 1, &b);
    assert_int_equal(tier_takes(&b, seed, &call, false, t, l), 3);
    assert_int_equal(t[0].cost, 0);
    assert_true(t[0].mark_only);
    assert_int_equal(t[1].cost, 1);
    assert_true(t[1].mark_only);
    assert_int_equal(l[2]->part, TIER_BURST);
    assert_false(t[2].mark_only);
    assert_int_equal(tier_takes(&b, seed, &call, true, t, l), 1);
    assert_int_equal(t[0].limit, 5);
    arena_free(f.a);
}

static void gold_refuses_the_call_after_five_thousand(void **state)
{
    struct table *t = *state;
    struct file f = parse_well("");
    struct limit_seed s = counters_seed(t->c);
    const struct str place[] = { STR("carbon.super"), STR("/pets/1.0") };
    struct pairs p = { 0 };
    struct call_facts call = facts(&p, "10.0.0.1");
    struct take takes[TIER_TAKES_MAX];
    const struct tier_limit *l[TIER_TAKES_MAX];
    struct tier_bound b;
    uint32_t n;

    tier_bind(f.a, s, tiers_find(&f.ts, TIER_SUBSCRIPTION, STR("Gold")), place,
              2, &b);
    n = tier_takes(&b, s, &call, false, takes, l);
    assert_int_equal(n, 1);
    for (int i = 0; i < 5000; i++)
        assert_true(take_one(t->c, takes, NOON_US));
    assert_false(take_one(t->c, takes, NOON_US));
    call.key = STR("another");
    tier_takes(&b, s, &call, false, takes, l);
    assert_true(take_one(t->c, takes, NOON_US));
    arena_free(f.a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_models_tiers_exist_without_a_file),
        cmocka_unit_test(a_microgateways_policies_file_is_read),
        cmocka_unit_test(every_time_unit_of_the_model_is_known),
        cmocka_unit_test(
            what_is_wrong_in_a_policies_file_is_said_with_its_line),
        cmocka_unit_test(a_tier_of_ours_is_read),
        cmocka_unit_test(a_rate_is_never_more_than_asked_for),
        cmocka_unit_test(what_is_wrong_in_a_tier_is_said_with_its_line),
        cmocka_unit_test(a_file_is_read_from_disk_and_a_missing_one_is_said),
        cmocka_unit_test(addresses_and_ranges_of_both_versions_match),
        cmocka_unit_test(
            headers_queries_and_claims_match_exactly_or_by_expression),
        cmocka_unit_test(all_conditions_of_a_group_must_be_met),
        cmocka_unit_test(an_expression_that_never_ends_does_not_match),
        cmocka_unit_test(a_call_in_several_groups_is_under_all_their_limits),
        cmocka_unit_test(each_value_counted_by_has_its_own_counter),
        cmocka_unit_test(each_place_and_tier_has_its_own_counters),
        cmocka_unit_test(bytes_events_and_marks_become_their_takes),
        cmocka_unit_test_setup_teardown(
            gold_refuses_the_call_after_five_thousand, table_setup,
            table_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
