// document.mjs - OpenAPI documents in one line.

const METHODS = ['get', 'put', 'post', 'delete', 'options', 'head', 'patch', 'trace'];

/** Every method OpenAPI knows. */
export const ALL = METHODS.join(' ');

/**
 * An OpenAPI 3.0 document served under `context`. paths: {'/pets': 'get post'}
 * or path items as they are; endpoints: a URL, a list, or the whole object of
 * x-wso2-production-endpoints; advance: advanceEndpointConfig.
 */
export function openapi({ title = 'Test', version = '1.0.0', context, endpoints, type, advance, paths = { '/*': ALL }, ...extra }) {
    const document = { openapi: '3.0.3', info: { title, version } };

    if (context !== undefined)
        document['x-wso2-basePath'] = context;
    if (endpoints !== undefined)
        document['x-wso2-production-endpoints'] = endpointObject(endpoints, type, advance);
    document.paths = {};
    for (const [template, item] of Object.entries(paths))
        document.paths[template] = typeof item === 'string' ? pathItem(template, item) : item;
    return Object.assign(document, extra);
}

export function endpointObject(endpoints, type, advance) {
    if (typeof endpoints === 'object' && !Array.isArray(endpoints))
        return endpoints;
    const object = { urls: [endpoints].flat() };

    if (type)
        object.type = type;
    if (advance)
        object.advanceEndpointConfig = advance;
    return object;
}

function pathItem(template, methods) {
    const item = {};
    const parameters = [...template.matchAll(/\{([^}]+)\}/g)].map(([, name]) =>
        ({ name, in: 'path', required: true, schema: { type: 'string' } }));

    for (const method of methods.split(/\s+/))
        item[method.toLowerCase()] = { responses: { default: { description: 'any' } } };
    if (parameters.length)
        item.parameters = parameters;
    return item;
}
