/* new-session.c - make wrk forget its TLS sessions (LD_PRELOAD).
 *
 * wrk clears and reuses its SSL objects. OpenSSL keeps the session in them, so
 * every reconnection resumes where the server gave a ticket. Rows of full
 * handshakes need a client that comes for the first time, each time.
 */
#include <dlfcn.h>
#include <openssl/ssl.h>

int SSL_clear(SSL *ssl)
{
    int (*clear)(SSL *) = (int (*)(SSL *))dlsym(RTLD_NEXT, "SSL_clear");

    SSL_set_session(ssl, NULL);
    return clear(ssl);
}
