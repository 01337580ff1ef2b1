/* test_address_class.c - what kind of place an address is, in any spelling. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/un.h>

#include "net/address_class.h"

static enum address_class class_of(const char *text)
{
    struct address a;

    if (address_numeric(str_z(text), 443, &a))
        fail_msg("%s is no address", text);
    return address_class((const struct sockaddr *)&a.sa);
}

static void special_addresses_are_known(void **state)
{
    static const struct {
        const char *text;
        enum address_class class;
    } cases[] = {
        { "127.0.0.1", ADDRESS_LOOPBACK },
        { "127.255.255.254", ADDRESS_LOOPBACK },
        { "::1", ADDRESS_LOOPBACK },
        { "0.0.0.0", ADDRESS_UNSPECIFIED },
        { "0.1.2.3", ADDRESS_UNSPECIFIED },
        { "::", ADDRESS_UNSPECIFIED },
        { "10.0.0.1", ADDRESS_PRIVATE },
        { "172.16.0.1", ADDRESS_PRIVATE },
        { "172.31.255.255", ADDRESS_PRIVATE },
        { "192.168.1.1", ADDRESS_PRIVATE },
        { "fd00::1", ADDRESS_PRIVATE },
        { "fc00::1", ADDRESS_PRIVATE },
        { "fec0::1", ADDRESS_PRIVATE },
        { "100.64.0.1", ADDRESS_SHARED },
        { "100.127.255.255", ADDRESS_SHARED },
        { "169.254.1.1", ADDRESS_LINK_LOCAL },
        { "fe80::1", ADDRESS_LINK_LOCAL },
        { "169.254.169.254", ADDRESS_METADATA },
        { "100.100.100.200", ADDRESS_METADATA },
        { "168.63.129.16", ADDRESS_METADATA },
        { "fd00:ec2::254", ADDRESS_METADATA },
        { "224.0.0.1", ADDRESS_MULTICAST },
        { "239.255.255.255", ADDRESS_MULTICAST },
        { "ff02::1", ADDRESS_MULTICAST },
        { "255.255.255.255", ADDRESS_RESERVED },
        { "192.0.2.1", ADDRESS_RESERVED },
        { "198.18.0.1", ADDRESS_RESERVED },
        { "2001:db8::1", ADDRESS_RESERVED },
        { "2001::1", ADDRESS_RESERVED }, /* Teredo */
        { "4000::1", ADDRESS_RESERVED },
    };
    (void)state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        if (class_of(cases[i].text) != cases[i].class)
            fail_msg("%s is %s", cases[i].text,
                     address_class_name(class_of(cases[i].text)));
}

static void neighbours_of_special_ranges_are_public(void **state)
{
    static const char *const all[] = {
        "1.1.1.1",      "9.255.255.255",   "11.0.0.0",       "126.255.255.255",
        "128.0.0.0",    "172.15.255.255",  "172.32.0.0",     "192.167.255.255",
        "192.169.0.0",  "100.63.255.255",  "100.128.0.0",    "169.253.255.255",
        "169.255.0.0",  "223.255.255.255", "198.17.255.255", "198.20.0.0",
        "2606:4700::1", "2a00::1",         "2001:200::1",
    };
    (void)state;

    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
        if (class_of(all[i]) != ADDRESS_PUBLIC)
            fail_msg("%s is %s", all[i], address_class_name(class_of(all[i])));
}

static void an_ipv4_address_inside_an_ipv6_one_is_what_it_is(void **state)
{
    (void)state;

    assert_int_equal(class_of("::ffff:127.0.0.1"), ADDRESS_LOOPBACK);
    assert_int_equal(class_of("::ffff:169.254.169.254"), ADDRESS_METADATA);
    assert_int_equal(class_of("::ffff:10.1.1.1"), ADDRESS_PRIVATE);
    assert_int_equal(class_of("::ffff:8.8.8.8"), ADDRESS_PUBLIC);
    assert_int_equal(class_of("::127.0.0.1"), ADDRESS_LOOPBACK);
    assert_int_equal(class_of("64:ff9b::10.0.0.1"), ADDRESS_PRIVATE);
    assert_int_equal(class_of("64:ff9b::a9fe:a9fe"), ADDRESS_METADATA);
    assert_int_equal(class_of("64:ff9b::8.8.8.8"), ADDRESS_PUBLIC);
    assert_int_equal(class_of("2002:7f00:1::1"), ADDRESS_LOOPBACK);
    assert_int_equal(class_of("2002:808:808::1"), ADDRESS_PUBLIC);
    assert_int_equal(class_of("64:ff9b:1::808:808"), ADDRESS_PRIVATE);
}

static void a_unix_socket_is_local(void **state)
{
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    uint8_t ip[16];
    (void)state;

    assert_int_equal(address_class((const struct sockaddr *)&un),
                     ADDRESS_LOCAL);
    assert_int_equal(address_ip((const struct sockaddr *)&un, ip), ERR_INVALID);
    assert_int_equal(address_port((const struct sockaddr *)&un), 0);
}

static bool has(const char *range, const char *address)
{
    struct address_range r;
    struct address a;
    uint8_t ip[16];

    assert_int_equal(address_range_parse(str_z(range), &r), ERR_OK);
    assert_int_equal(address_numeric(str_z(address), 80, &a), ERR_OK);
    assert_int_equal(address_port((const struct sockaddr *)&a.sa), 80);
    assert_int_equal(address_ip((const struct sockaddr *)&a.sa, ip), ERR_OK);
    return address_range_has(&r, ip);
}

static void ranges_end_where_they_say(void **state)
{
    (void)state;

    assert_true(has("10.0.0.0/8", "10.255.255.255"));
    assert_false(has("10.0.0.0/8", "11.0.0.0"));
    assert_true(has("10.1.2.3", "10.1.2.3"));
    assert_false(has("10.1.2.3", "10.1.2.2"));
    assert_true(has("10.0.0.0/9", "::ffff:10.127.0.1"));
    assert_false(has("10.0.0.0/9", "10.128.0.1"));
    assert_true(has("::/0", "2001::1"));
    assert_true(has("0.0.0.0/0", "1.2.3.4"));
    assert_false(has("0.0.0.0/0", "::1"));
    assert_true(has("fd00::/8", "fdff::1"));
}

static void what_is_no_range_is_refused(void **state)
{
    static const char *const all[] = {
        "",           "/",           "10.0.0.0/33", "10.0.0.0/",
        "10.0.0/8",   "::/129",      "a",           "10.0.0.0/8/8",
        "[::1]",      "10.0.0.0/-1", "10.0.0.0/+8", " 10.0.0.1",
        "1.2.3.4:80",
    };
    struct address_range r;
    (void)state;

    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
        if (!address_range_parse(str_z(all[i]), &r))
            fail_msg("\"%s\" was taken", all[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(special_addresses_are_known),
        cmocka_unit_test(neighbours_of_special_ranges_are_public),
        cmocka_unit_test(an_ipv4_address_inside_an_ipv6_one_is_what_it_is),
        cmocka_unit_test(a_unix_socket_is_local),
        cmocka_unit_test(ranges_end_where_they_say),
        cmocka_unit_test(what_is_no_range_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
