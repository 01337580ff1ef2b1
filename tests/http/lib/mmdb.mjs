// mmdb.mjs - a small writer of databases in MaxMind's format (version 2.0 of
// its specification): a tree of 24-bit records, a data section, metadata.

const text = (s) => Buffer.concat([Buffer.from([(2 << 5) | s.length]), Buffer.from(s)]);
const uint = (type, value, bytes) => {
    const b = Buffer.alloc(bytes);

    b.writeUIntBE(value, 0, bytes);
    return type <= 7 ? Buffer.concat([Buffer.from([(type << 5) | bytes]), b]) : Buffer.concat([Buffer.from([bytes, type - 7]), b]);
};
const map = (entries) => Buffer.concat([Buffer.from([(7 << 5) | entries.length]), ...entries.flatMap(([k, v]) => [text(k), v])]);

/** The 128 bits of an address as the tree has them (IPv4 below ::/96). */
function bitsOf(address) {
    if (!address.includes(':'))
        return '0'.repeat(96) + address.split('.').map((n) => Number(n).toString(2).padStart(8, '0')).join('');
    const [head, tail] = address.split('::');
    const parts = (s) => (s ? s.split(':') : []);
    const left = parts(head), right = parts(tail);
    const all = [...left, ...Array(address.includes('::') ? 8 - left.length - right.length : 0).fill('0'), ...right];

    return all.map((p) => parseInt(p, 16).toString(2).padStart(16, '0')).join('');
}

/** countries: {"10.0.0.0/8": "DE", "2001:db8::/32": "FR"}: the bytes of a database. */
export function countryDatabase(countries) {
    const nodes = [[null, null]];
    const data = [];
    let size = 0;

    for (const [range, code] of Object.entries(countries)) {
        const [address, length] = range.split('/');
        const depth = Number(length) + (address.includes(':') ? 0 : 96);
        const bits = bitsOf(address);
        const record = map([['country', map([['iso_code', text(code)]])]]);
        let at = 0;

        for (let i = 0; i < depth - 1; i++) {
            const bit = Number(bits[i]);

            if (nodes[at][bit] === null)
                nodes[at][bit] = nodes.push([null, null]) - 1;
            at = nodes[at][bit];
        }
        nodes[at][Number(bits[depth - 1])] = { offset: size };
        data.push(record);
        size += record.length;
    }
    const value = (r) => (r === null ? nodes.length : typeof r === 'number' ? r : nodes.length + 16 + r.offset);
    const tree = Buffer.alloc(nodes.length * 6);

    nodes.forEach(([left, right], i) => {
        tree.writeUIntBE(value(left), i * 6, 3);
        tree.writeUIntBE(value(right), i * 6 + 3, 3);
    });
    const metadata = map([
        ['binary_format_major_version', uint(5, 2, 2)], ['binary_format_minor_version', uint(5, 0, 2)], ['build_epoch', uint(9, 1700000000, 4)],
        ['database_type', text('Test-Country')], ['description', map([])], ['ip_version', uint(5, 6, 2)],
        ['languages', Buffer.from([0, 4])], ['node_count', uint(6, nodes.length, 4)], ['record_size', uint(5, 24, 2)],
    ]);

    return Buffer.concat([tree, Buffer.alloc(16), ...data, Buffer.from('\xab\xcd\xefMaxMind.com', 'latin1'), metadata]);
}
