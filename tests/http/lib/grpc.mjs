// grpc.mjs - a gRPC service without .proto: messages are bytes.
import grpc from '@grpc/grpc-js';

const bytes = (b) => b;

function method(path, requestStream, responseStream) {
    return { path, requestStream, responseStream, requestSerialize: bytes, requestDeserialize: bytes, responseSerialize: bytes, responseDeserialize: bytes };
}

export const SERVICE = {
    unary: method('/demo.Echo/Unary', false, false),
    fail: method('/demo.Echo/Fail', false, false),
    slow: method('/demo.Echo/Slow', false, false),
    collect: method('/demo.Echo/Collect', true, false),
    expand: method('/demo.Echo/Expand', false, true),
    chat: method('/demo.Echo/Chat', true, true),
};

export const PATHS = Object.fromEntries([...Object.values(SERVICE).map((m) => [m.path, 'post']), ['/demo.Echo/Missing', 'post']]);

/** An echoing server: {port, cancelled, stop()}. credentials: of the server. */
export async function startGrpcServer(credentials = grpc.ServerCredentials.createInsecure()) {
    const server = new grpc.Server({ 'grpc.max_receive_message_length': -1, 'grpc.max_send_message_length': -1 });
    const self = { cancelled: 0, deadlines: [], metadata: [], server };
    const watch = (call) => call.on('cancelled', () => self.cancelled++);

    server.addService(SERVICE, {
        unary(call, done) {
            const trailer = new grpc.Metadata();

            self.metadata.push(call.metadata.getMap());
            trailer.set('x-size', String(call.request.length));
            trailer.set('x-data-bin', Buffer.from([0, 1, 255]));
            done(null, call.request, trailer);
        },
        fail: (call, done) => done({ code: Number(call.request), details: 'as asked: ä%' }),
        slow(call, done) {
            self.deadlines.push(call.getDeadline());
            watch(call);
            const timer = setTimeout(() => done(null, call.request), Number(call.request));

            call.on('cancelled', () => clearTimeout(timer));
        },
        collect(call, done) {
            let size = 0;

            watch(call);
            call.on('data', (m) => (size += m.length)).on('end', () => done(null, Buffer.from(String(size))));
        },
        expand(call) {
            const n = Number(call.request);

            watch(call);
            for (let i = 0; i < n; i++)
                call.write(Buffer.from(String(i)));
            call.end();
        },
        chat(call) {
            watch(call);
            call.on('data', (m) => (String(m) === 'fail' ? call.emit('error', { code: 9, details: 'enough' }) : call.write(m)));
            call.on('end', () => call.end());
        },
    });
    self.port = await new Promise((resolve, reject) =>
        server.bindAsync('127.0.0.1:0', credentials, (error, port) => (error ? reject(error) : resolve(port))));
    self.stop = () => server.forceShutdown();
    return self;
}

/** A client with promises. */
export function grpcClient(port, credentials = grpc.credentials.createInsecure(), options = {}) {
    const client = new (grpc.makeGenericClientConstructor(SERVICE, 'Echo'))(`127.0.0.1:${port}`, credentials,
        { 'grpc.max_receive_message_length': -1, 'grpc.max_send_message_length': -1, 'grpc.enable_retries': 0,
            'grpc.ssl_target_name_override': 'localhost', 'grpc.use_local_subchannel_pool': 1, ...options });

    return {
        client,
        /** {value, code, details, metadata, trailers} of a call with one answer. */
        call: (name, message, { metadata = new grpc.Metadata(), ...callOptions } = {}) => new Promise((resolve) => {
            const out = {};
            const c = client[name](Buffer.from(message), metadata, callOptions, (error, value) => {
                out.value = value;
                out.code = error?.code ?? 0;
                out.details = error?.details;
                out.trailers ??= error?.metadata?.getMap();
            });

            out.cancel = () => c.cancel();
            c.on('metadata', (m) => (out.metadata = m.getMap()));
            c.on('status', (s) => {
                out.trailers = s.metadata.getMap();
                resolve(out);
            });
        }),
        close: () => client.close(),
    };
}

/** All messages of a streaming answer, and its status. */
export function gathered(call) {
    return new Promise((resolve) => {
        const messages = [];
        let status;

        call.on('data', (m) => messages.push(m)).on('error', () => {}).on('status', (s) => {
            status = s;
            resolve({ messages, code: status.code, details: status.details });
        });
    });
}

export { grpc };
