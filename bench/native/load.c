/*
 * load.c - HTTP/1.1 load driver for a streaming LLM gateway (epoll, C).
 *
 *   build:  cc -O2 -Wall -o load load.c -lm      (or with -DWITH_TLS ... -lssl -lcrypto)
 *   run:    ./load -p PORT [-H 127.0.0.1] [-u /v1/chat/completions] [-c conns]
 *                  [-d seconds] [-w warmup_s] [-R ramp_ms] [-b body_file | -B body]
 *                  [-A "Header: value"]... [-P pid[,pid...]] [-l label] [-X GET]
 *                  [-r requests_per_second] [-S]
 *
 * Each connection sends a POST, reads the whole reply (Content-Length, chunked or
 * until close), then at once sends the next (keep-alive; reconnects when closed).
 * -R spreads the first request of each connection over ramp_ms, so that gapped
 * streams are not in step.  Statistics cover the window after the warm-up.
 *
 * -r makes it an open loop: that many requests a second fall due, evenly spaced,
 * whatever has become of those before; each goes out on an idle connection, or on
 * a new one up to -c, and its latency counts from when it was due.  -S speaks TLS
 * and trusts anybody.
 *
 * Output: one JSON line.  All latencies in microseconds.
 *   rps            complete 2xx replies per second
 *   chunks_s       timestamped SSE chunks per second (see upstream.c)
 *   lat            request complete latency   ttfb   first body byte
 *   itl            inter-token latency: time between two stamped chunks of one reply
 *   hop            chunk latency: now - "@ns@" stamp put in by upstream.c
 *   shed           replies of status 503, and their latency
 *   late           requests that found no connection when they fell due
 *   cpu_us_req     user+sys CPU of the -P pids (all threads) per reply
 *   cpu_us_chunk   the same per chunk         cpu_pct  the same over wall time
 *   rss_mb         sum of resident memory of the -P pids at the end
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#ifdef WITH_TLS
#include <openssl/ssl.h>
static SSL_CTX *tls;
#endif

#define SUB 64
typedef struct { uint64_t n, b[64 * SUB]; double sum; uint64_t max; } Hist;   /* ~1.5 % buckets */
static int hidx(uint64_t v) {
    if (v < SUB) return v;
    int l = 63 - __builtin_clzll(v);
    return (l - 5) * SUB + ((v >> (l - 6)) & (SUB - 1));
}
static double hval(int i) {
    if (i < SUB) return i;
    int l = i / SUB + 5;
    return ldexp(1.0, l) + (i % SUB + 0.5) * ldexp(1.0, l - 6);
}
static void hadd(Hist *h, uint64_t v) { h->b[hidx(v)]++; h->n++; h->sum += v; if (v > h->max) h->max = v; }
static double hq(Hist *h, double q) {
    uint64_t t = (uint64_t)(q * h->n), a = 0;
    for (int i = 0; i < 64 * SUB; i++) { a += h->b[i]; if (a > t) return hval(i) > h->max ? h->max : hval(i); }
    return h->max;
}
static Hist H_lat, H_ttfb, H_itl, H_hop, H_shed;

typedef struct {
    int fd, state;          /* 0 idle, 1 head, 2 length body, 3 chunk size, 4 chunk data,
                               5 chunk crlf, 6 trailer, 7 until close, 8 connecting */
    uint64_t t0, last; int got_first, status, close_after;
    long need; size_t sent;
    char hd[16384]; int hl; int ln;
    int ts_n; uint64_t ts_v;       /* "@digits@" scanner: -1 outside, else digits seen */
    uint64_t due;                  /* open loop: of the request that waits for this connection */
#ifdef WITH_TLS
    SSL *ssl;
#endif
} C;

static struct sockaddr_in addr;
static int ep, on; static char *req; static size_t reqlen;
static uint64_t ok, bad, errs, late, chunks, bytes_in;
static double rate; static C **idle; static int idle_n;

static uint64_t now_ns(void) {
    struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + t.tv_nsec;
}
static void reconnect(C *c) {
    int one = 1;
    if (c->fd >= 0) close(c->fd);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    connect(c->fd, (void *)&addr, sizeof addr);
    c->state = 8;
#ifdef WITH_TLS
    if (c->ssl) { SSL_free(c->ssl); c->ssl = NULL; }
    if (tls) { c->ssl = SSL_new(tls); SSL_set_fd(c->ssl, c->fd); SSL_set_connect_state(c->ssl); }
#endif
    struct epoll_event e = {EPOLLIN | EPOLLOUT, {.ptr = c}};
    epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &e);
}
/* as send and recv; *wait is what a socket that would block has to become first */
static ssize_t tx(C *c, const char *p, size_t n, uint32_t *wait) {
#ifdef WITH_TLS
    if (c->ssl) {
        int k = SSL_write(c->ssl, p, n);
        if (k > 0) return k;
        int e = SSL_get_error(c->ssl, k);
        *wait = e == SSL_ERROR_WANT_READ ? EPOLLIN : EPOLLIN | EPOLLOUT;
        errno = e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE ? EAGAIN : EPIPE;
        return -1;
    }
#endif
    *wait = EPOLLIN | EPOLLOUT;
    return send(c->fd, p, n, MSG_NOSIGNAL);
}
static ssize_t rx(C *c, char *p, size_t n) {
#ifdef WITH_TLS
    if (c->ssl) {                                       /* a record at a time: take all there are */
        size_t got = 0;
        while (n - got >= 16384) {
            int k = SSL_read(c->ssl, p + got, n - got);
            if (k > 0) { got += k; continue; }
            int e = SSL_get_error(c->ssl, k);
            if (got) return got;
            errno = e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE ? EAGAIN : EPIPE;
            return e == SSL_ERROR_ZERO_RETURN ? 0 : -1;
        }
        return got;
    }
#endif
    return recv(c->fd, p, n, 0);
}
static int more(C *c) {
#ifdef WITH_TLS
    return c->ssl && SSL_pending(c->ssl);
#endif
    return 0;
}
static void do_send(C *c) {
    uint32_t wait;
    while (c->sent < reqlen) {
        ssize_t k = tx(c, req + c->sent, reqlen - c->sent, &wait);
        if (k < 0) {
            if (errno == EAGAIN) { struct epoll_event e = {wait, {.ptr = c}}; epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &e); }
            return;
        }
        c->sent += k;
    }
}
static void start_req(C *c) {
    c->state = 1; c->t0 = c->due ? c->due : now_ns(); c->due = 0;
    c->last = 0; c->got_first = 0; c->hl = 0; c->sent = 0; c->ts_n = -1; c->close_after = 0;
    do_send(c);
}
static void rest(C *c) { c->state = 0; idle[idle_n++] = c; }
static void finish(C *c) {
    if (on) {
        uint64_t took = (now_ns() - c->t0) / 1000;
        if (c->status / 100 == 2) { ok++; hadd(&H_lat, took); } else { bad++; if (c->status == 503) hadd(&H_shed, took); }
    }
    if (c->close_after) reconnect(c); else if (rate > 0) rest(c); else start_req(c);
}
static void body(C *c, const char *p, long n, uint64_t t) {
    if (!c->got_first && n > 0) { c->got_first = 1; if (on) hadd(&H_ttfb, (t - c->t0) / 1000); }
    bytes_in += n;
    const char *e = p + n;
    while (p < e) {
        if (c->ts_n < 0) {
            p = memchr(p, '@', e - p);
            if (!p) return;
            p++; c->ts_n = 0; c->ts_v = 0;
        } else if (isdigit((unsigned char)*p) && c->ts_n < 19) { c->ts_v = c->ts_v * 10 + (*p++ - '0'); c->ts_n++; }
        else {
            if (*p == '@' && c->ts_n == 19) {
                p++;
                if (on) {
                    chunks++; hadd(&H_hop, t > c->ts_v ? (t - c->ts_v) / 1000 : 0);
                    if (c->last) hadd(&H_itl, (t - c->last) / 1000);
                }
                c->last = t;
            }
            c->ts_n = -1;
        }
    }
}
static int feed(C *c, const char *p, long n) {       /* returns 1 when the reply ended */
    const char *e = p + n; uint64_t t = now_ns();
    while (p < e || (c->state == 2 && c->need == 0)) switch (c->state) {
        case 1: {
            long room = (long)sizeof c->hd - 1 - c->hl, k = e - p < room ? e - p : room;
            memcpy(c->hd + c->hl, p, k); int old = c->hl; c->hl += k; c->hd[c->hl] = 0;
            char *z = strstr(c->hd, "\r\n\r\n");
            if (!z) { p += k; if (c->hl >= (int)sizeof c->hd - 1) return -1; break; }
            p += (z + 4 - c->hd) - old; *z = 0;
            c->status = atoi(c->hd + 9);
            if (c->status == 100) { c->hl = 0; break; }
            char *cl = strcasestr(c->hd, "\r\ncontent-length:");
            c->close_after = strcasestr(c->hd, "\r\nconnection: close") != NULL;
            if (strcasestr(c->hd, "\r\ntransfer-encoding: chunked")) { c->state = 3; c->need = 0; c->ln = 0; }
            else if (cl) { c->state = 2; c->need = atol(cl + 17); }
            else { c->state = 7; c->close_after = 1; }
            break; }
        case 2: { long k = e - p < c->need ? e - p : c->need; body(c, p, k, t); p += k; c->need -= k;
            if (!c->need) { return 1; }
            break; }
        case 3: { char ch = *p++;
            if (ch == '\n') { if (c->need) c->state = 4; else { c->state = 6; c->ln = 0; } }
            else if (ch == ';') c->ln = 1;
            else if (!c->ln && isxdigit((unsigned char)ch)) c->need = c->need * 16 + (ch <= '9' ? ch - '0' : (ch | 32) - 'a' + 10);
            break; }
        case 4: { long k = e - p < c->need ? e - p : c->need; body(c, p, k, t); p += k; c->need -= k;
            if (!c->need) { c->state = 5; }
            break; }
        case 5: if (*p++ == '\n') { c->state = 3; c->need = 0; c->ln = 0; } break;
        case 6: { char ch = *p++; if (ch == '\n') { if (!c->ln) return 1; c->ln = 0; } else if (ch != '\r') c->ln++; break; }
        case 7: body(c, p, e - p, t); p = e; break;
        default: return -1;
    }
    return 0;
}
static double cpu_s(const char *pids, double *rss) {
    double s = 0; char b[4096], f[64]; *rss = 0;
    if (!pids) return 0;
    for (const char *p = pids; *p; ) {
        long pid = strtol(p, (char **)&p, 10); while (*p == ',') p++;
        snprintf(f, sizeof f, "/proc/%ld/stat", pid);
        FILE *h = fopen(f, "r"); if (!h) continue;
        size_t n = fread(b, 1, sizeof b - 1, h); b[n] = 0; fclose(h);
        char *q = strrchr(b, ')'); unsigned long u, st; long r;
        if (q && sscanf(q + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %*d %*d %*d %*d %*d %*d %*u %*u %ld", &u, &st, &r) == 3) {
            s += (u + st) / (double)sysconf(_SC_CLK_TCK); *rss += r * (double)sysconf(_SC_PAGESIZE) / 1048576;
        }
    }
    return s;
}
static void ph(const char *k, Hist *h) {
    if (h->n) printf(",\"%s\":{\"mean\":%.0f,\"p50\":%.0f,\"p90\":%.0f,\"p99\":%.0f,\"p999\":%.0f,\"max\":%llu}", k,
        h->sum / h->n, hq(h, .5), hq(h, .9), hq(h, .99), hq(h, .999), (unsigned long long)h->max);
}
int main(int argc, char **argv) {
    const char *host = "127.0.0.1", *path = "/v1/chat/completions", *bodytxt = NULL, *bf = NULL, *pids = NULL, *label = "", *meth = "POST";
    int port = 8000, nc = 64, ch, secure = 0; double dur = 5, warm = 1; long ramp = 0; static char extra[8192];
    while ((ch = getopt(argc, argv, "H:p:u:c:d:w:R:b:B:A:P:l:X:r:S")) != -1) switch (ch) {
        case 'H': host = optarg; break; case 'p': port = atoi(optarg); break; case 'u': path = optarg; break;
        case 'c': nc = atoi(optarg); break; case 'd': dur = atof(optarg); break; case 'w': warm = atof(optarg); break;
        case 'R': ramp = atol(optarg); break; case 'b': bf = optarg; break; case 'B': bodytxt = optarg; break;
        case 'A': strcat(strcat(extra, optarg), "\r\n"); break; case 'P': pids = optarg; break;
        case 'r': rate = atof(optarg); break; case 'S': secure = 1; break;
        case 'l': label = optarg; break; case 'X': meth = optarg; break; default: return 2;
    }
    if (secure) {
#ifdef WITH_TLS
        tls = SSL_CTX_new(TLS_client_method());
        SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
#else
        fprintf(stderr, "built without TLS: install OpenSSL's headers (Debian: libssl-dev)\n"); return 3;
#endif
    }
    char *bd = NULL; size_t bl = 0;
    if (bf) { FILE *h = fopen(bf, "rb"); if (!h) { perror(bf); return 1; } bd = malloc(1 << 24); bl = fread(bd, 1, 1 << 24, h); fclose(h); }
    else if (bodytxt) { bd = strdup(bodytxt); bl = strlen(bd); }
    req = malloc(bl + 12000);
    reqlen = sprintf(req, "%s %s HTTP/1.1\r\nHost: %s:%d\r\nUser-Agent: load\r\nAccept: */*\r\n%s", meth, path, host, port, extra);
    if (bl || !strcmp(meth, "POST")) reqlen += sprintf(req + reqlen, "Content-Type: application/json\r\nContent-Length: %zu\r\n", bl);
    reqlen += sprintf(req + reqlen, "\r\n");
    if (bl) memcpy(req + reqlen, bd, bl);
    reqlen += bl;
    addr.sin_family = AF_INET; addr.sin_port = htons(port); inet_pton(AF_INET, host, &addr.sin_addr);
    signal(SIGPIPE, SIG_IGN);
    ep = epoll_create1(0);
    C *cs = calloc(nc, sizeof *cs); for (int i = 0; i < nc; i++) cs[i].fd = -1;
    idle = calloc(nc, sizeof *idle);
    struct epoll_event evs[512]; static char buf[262144];
    uint64_t T0 = now_ns(), Ton = T0 + (uint64_t)(warm * 1e9), Tend = Ton + (uint64_t)(dur * 1e9), tw = 0;
    uint64_t next = T0, step = rate > 0 ? 1e9 / rate : 0; int started = 0; double c0 = 0, rss;
    for (;;) {
        uint64_t t = now_ns();
        if (!on && t >= Ton) { on = 1; c0 = cpu_s(pids, &rss); tw = now_ns(); }
        if (t >= Tend) break;
        while (step && next <= t) {
            if (idle_n) { C *c = idle[--idle_n]; c->due = next; start_req(c); }
            else if (started < nc) { C *c = &cs[started++]; c->due = next; reconnect(c); }
            else if (on) late++;
            next += step;
        }
        while (!step && started < nc && (ramp == 0 || (t - T0) / 1000000.0 >= (double)started * ramp / nc)) reconnect(&cs[started++]);
        int n = epoll_wait(ep, evs, 512, step || started < nc ? 1 : 20);
        for (int i = 0; i < n; i++) {
            C *c = evs[i].data.ptr; uint32_t v = evs[i].events;
            if (c->state == 8) {
                int er = 0; socklen_t sl = sizeof er; getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &er, &sl);
                if (er) { if (on) errs++; usleep(200); reconnect(c); continue; }
                struct epoll_event e = {EPOLLIN, {.ptr = c}}; epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &e);
                if (step && !c->due) rest(c); else start_req(c);
                continue;
            }
            if (v & EPOLLOUT || (c->state == 1 && c->sent < reqlen)) { do_send(c); if (c->sent == reqlen) { struct epoll_event e = {EPOLLIN, {.ptr = c}}; epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &e); } }
            if (v & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
              do {
                ssize_t k = rx(c, buf, sizeof buf);
                if (k < 0 && errno == EAGAIN) break;
                if (!c->state) for (int j = 0; j < idle_n; j++) if (idle[j] == c) idle[j] = idle[--idle_n];
                if (k <= 0) {
                    if (c->state == 7) { finish(c); break; }
                    /* a close before any reply byte is a keep-alive race */
                    if (on && c->state && !(c->state == 1 && c->hl == 0)) errs++;
                    reconnect(c); break;
                }
                int r = feed(c, buf, k);
                if (r == 1) finish(c); else if (r < 0) { if (on) errs++; reconnect(c); break; }
              } while (more(c));
            }
        }
    }
    double w = (now_ns() - tw) / 1e9, cpu = cpu_s(pids, &rss) - c0;
    printf("{\"label\":\"%s\",\"conns\":%d,\"secs\":%.2f,\"ok\":%llu,\"bad\":%llu,\"errs\":%llu,\"rps\":%.1f", label, nc, w,
        (unsigned long long)ok, (unsigned long long)bad, (unsigned long long)errs, ok / w);
    if (rate > 0) printf(",\"shed_s\":%.1f,\"late\":%llu", H_shed.n / w, (unsigned long long)late);
    if (chunks) printf(",\"chunks_s\":%.0f", chunks / w);
    if (pids) { printf(",\"cpu_pct\":%.1f,\"rss_mb\":%.1f", 100 * cpu / w, rss); if (ok) printf(",\"cpu_us_req\":%.1f", 1e6 * cpu / ok); if (chunks) printf(",\"cpu_us_chunk\":%.2f", 1e6 * cpu / chunks); }
    ph("lat", &H_lat); ph("ttfb", &H_ttfb); ph("itl", &H_itl); ph("hop", &H_hop); ph("shed", &H_shed);
    printf("}\n");
    return 0;
}
