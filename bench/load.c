/*
 * The two ends of the bench, each on one thread and one epoll, and how it starts what stands between them:
 *
 *   load backend                     answers Dubbo and Thrift (framed or THeader, binary), prints its ports
 *   load ask --protocol P ... PORT   C connections x D requests in flight, prints one JSON object; with --rate R as many
 *                                    a second, each due at its time whether or not others are answered (open loop)
 *   load pin CORE COMMAND ...        the command, on that core only, ended by the kernel when the bench is gone
 *
 * Build: cc -O2 -o load load.c.  What the JSON holds: README.md.
 *
 * Lives here: frames of the protocols as far as a bench needs them, and the measuring.  Does not: proxies and their
 * processes, Redis's server (redis-server is one), what the figures mean.
 *
 * Layouts: the Dubbo protocol and Hessian 2 (all text here is ASCII, so a string's length is its size in bytes), the
 * Thrift binary protocol and THeader, the Redis serialization protocol version 2.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    READ_SIZE = 128 * 1024,
    MAX_FRAME = 16 * 1024 * 1024,
    MAX_UNSENT = 4 * 1024 * 1024, /* the backend stops reading from a peer that leaves this much unread */
    EVENTS = 64,
    SLOT_BITS = 10, /* of an id, so at most 1,024 requests in flight on a connection */
    MAX_HOLES = 16,
    MAX_PROCESSES = 16,
    DRAIN_SECONDS = 2,
    LATE = 1000000, /* ns behind its time from which on a request of an open loop counts as sent late */
};

static void die(const char *text) {
    fprintf(stderr, "load: %s: %s\n", text, errno ? strerror(errno) : "wrong");
    exit(2);
}

static uint32_t get16(const uint8_t *at) { return (uint32_t)at[0] << 8 | at[1]; }
static uint32_t get32(const uint8_t *at) { return get16(at) << 16 | get16(at + 2); }
static uint64_t get64(const uint8_t *at) { return (uint64_t)get32(at) << 32 | get32(at + 4); }
static void put16(uint8_t *at, uint32_t value) { at[0] = value >> 8, at[1] = value; }
static void put32(uint8_t *at, uint32_t value) { put16(at, value >> 16), put16(at + 2, value); }
static void put64(uint8_t *at, uint64_t value) { put32(at, value >> 32), put32(at + 4, value); }

static uint64_t nanoseconds(clockid_t clock) {
    struct timespec t;
    if (clock_gettime(clock, &t) != 0) return 0;
    return (uint64_t)t.tv_sec * 1000000000u + t.tv_nsec;
}

/* ---- buffers ---- */

struct buffer {
    uint8_t *data;
    size_t start, end, size;
};

static uint8_t *reserve(struct buffer *b, size_t room) {
    if (b->start == b->end) b->start = b->end = 0;
    if (b->size - b->end < room && b->start > 0) {
        memmove(b->data, b->data + b->start, b->end - b->start);
        b->end -= b->start, b->start = 0;
    }
    if (b->size - b->end < room) {
        b->size = (b->end + room) * 2;
        b->data = realloc(b->data, b->size);
        if (b->data == NULL) die("memory");
    }
    return b->data + b->end;
}

static uint8_t *append(struct buffer *b, const void *data, size_t n) {
    uint8_t *at = reserve(b, n);
    memcpy(at, data, n);
    b->end += n;
    return at;
}

static void append_byte(struct buffer *b, int byte) { append(b, (uint8_t[]){byte}, 1); }

/* One read into the buffer; 0 when the peer is gone, -1 when there is nothing now. */
static ssize_t fill(int fd, struct buffer *in) {
    ssize_t n = recv(fd, reserve(in, READ_SIZE), READ_SIZE, 0);
    if (n > 0) in->end += n;
    return n >= 0 ? n : errno == EAGAIN || errno == EINTR ? -1 : 0;
}

/* Sends what the socket takes now; false when the peer is gone. */
static bool flush(int fd, struct buffer *out) {
    if (out->start == out->end) return true;
    ssize_t n = send(fd, out->data + out->start, out->end - out->start, MSG_NOSIGNAL);
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    out->start += n;
    return true;
}

static void watch(int epoll, int operation, int fd, uint32_t events, void *whose) {
    struct epoll_event event = {.events = events, .data.ptr = whose};
    if (epoll_ctl(epoll, operation, fd, &event) != 0) die("epoll_ctl");
}

static void set_up_stream(int fd) {
    int one = 1;
    fcntl(fd, F_SETFL, O_NONBLOCK);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

/* ---- frames: length of the whole frame at `d`, 0 while it is incomplete, -1 when it is none ---- */

static long whole(uint64_t length, size_t n) { return length > MAX_FRAME ? -1 : n < length ? 0 : (long)length; }

static long dubbo_length(const uint8_t *d, size_t n) {
    if (n < 16) return 0;
    return get16(d) != 0xdabb ? -1 : whole(16 + (uint64_t)get32(d + 12), n);
}

static long thrift_length(const uint8_t *d, size_t n) { return n < 4 ? 0 : whole(4 + (uint64_t)get32(d), n); }

static long resp_length(const uint8_t *d, size_t n) {
    const uint8_t *line_end = memchr(d, '\n', n < 512 ? n : 512);
    if (line_end == NULL) return n < 512 ? 0 : -1;
    size_t line = line_end + 1 - d;
    if (strchr("+-:", d[0])) return (long)line;
    if (d[0] != '$') return -1;
    long size = strtol((const char *)d + 1, NULL, 10);
    return size < 0 ? (long)line : whole(line + (uint64_t)size + 2, n);
}

/* The Thrift message inside a frame: behind the length, or behind THeader's head. */
static size_t thrift_message(const uint8_t *d, size_t n) {
    if (n >= 18 && get16(d + 4) == 0x0fff) return 14 + 4 * (size_t)get16(d + 12);
    return 4;
}

/* Size of the Hessian string at `at`, its code included; 0 when it is none or passes the end. */
static size_t hessian_string(const uint8_t *d, size_t at, size_t n) {
    size_t begin = at, size;
    for (bool more = true; more; at += size) {
        if (at + 3 > n) return 0;
        uint8_t code = d[at];
        more = code == 0x52;
        if (code < 0x20)
            size = 1 + code;
        else if (code >= 0x30 && code < 0x34)
            size = 2 + ((size_t)(code - 0x30) << 8 | d[at + 1]);
        else if (code == 0x52 || code == 0x53)
            size = 3 + get16(d + at + 1);
        else
            return 0;
    }
    return at <= n ? at - begin : 0;
}

static void append_hessian_string(struct buffer *b, const char *text, size_t n) {
    for (; n > 0x8000; text += 0x8000, n -= 0x8000) append(b, "\x52\x80\x00", 3), append(b, text, 0x8000);
    if (n < 0x20)
        append_byte(b, n);
    else if (n < 0x400)
        append_byte(b, 0x30 + (n >> 8)), append_byte(b, n & 0xff);
    else
        append_byte(b, 0x53), append_byte(b, n >> 8), append_byte(b, n & 0xff);
    append(b, text, n);
}

/* ---- backend ---- */

struct peer {
    int fd;
    bool listening;
    uint32_t events;
    long (*length)(const uint8_t *, size_t);
    bool (*answer)(struct buffer *out, const uint8_t *frame, size_t n); /* false: not a request that can be answered */
    struct buffer in, out;
};

/* The request's sixth item, its argument, as value (result type 4), or a heartbeat's own body. */
static bool answer_dubbo(struct buffer *out, const uint8_t *d, size_t n) {
    static const char attachments[] = "H\x05" "dubbo\x05" "2.0.2Z";
    bool two_way = (d[2] & 0xc0) == 0xc0, event = d[2] & 0x20;
    if (!two_way) return true;
    size_t at = 16, argument = 0;
    for (int item = 0; !event && item < 6; item++, at += argument)
        if ((argument = hessian_string(d, at, n)) == 0) return false;
    const uint8_t *value = event ? d + 16 : d + at - argument;
    size_t value_size = event ? n - 16 : argument;
    size_t begin = out->end - out->start;
    append(out, d, 16);
    if (!event) append_byte(out, 0x94);
    append(out, value, value_size);
    if (!event) append(out, attachments, sizeof attachments - 1);
    uint8_t *head = out->data + out->start + begin;
    head[2] = d[2] & 0x3f;
    head[3] = 20;
    put32(head + 12, (out->end - out->start) - begin - 16);
    return true;
}

/* The request itself, as Reply whose result (field 0) is the argument (field 1). */
static bool answer_thrift(struct buffer *out, const uint8_t *d, size_t n) {
    size_t message = thrift_message(d, n);
    if (message + 8 > n || get16(d + message) != 0x8001) return false;
    size_t field = message + 12 + (size_t)get32(d + message + 4);
    if (field + 3 > n) return false;
    if (d[message + 3] == 4) return true; /* one-way */
    uint8_t *reply = append(out, d, n);
    reply[message + 3] = 2;
    if (d[field] != 0) put16(reply + field + 1, 0);
    return true;
}

static struct peer *listen_on_loopback(int epoll, struct peer kind) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct peer *peer = malloc(sizeof *peer);
    *peer = kind;
    peer->listening = true;
    peer->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (bind(peer->fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(peer->fd, 4096) != 0) die("listen");
    watch(epoll, EPOLL_CTL_ADD, peer->fd, EPOLLIN, peer);
    return peer;
}

static unsigned port_of(int fd) {
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    getsockname(fd, (struct sockaddr *)&address, &size);
    return ntohs(address.sin_port);
}

static void accept_peers(int epoll, const struct peer *listener) {
    int fd;
    while ((fd = accept(listener->fd, NULL, NULL)) >= 0) {
        struct peer *peer = calloc(1, sizeof *peer);
        *peer = (struct peer){.fd = fd, .events = EPOLLIN, .length = listener->length, .answer = listener->answer};
        set_up_stream(fd);
        watch(epoll, EPOLL_CTL_ADD, fd, EPOLLIN, peer);
    }
}

static bool answer_frames(struct peer *peer) {
    long n;
    while ((n = peer->length(peer->in.data + peer->in.start, peer->in.end - peer->in.start)) > 0) {
        if (!peer->answer(&peer->out, peer->in.data + peer->in.start, n)) return false;
        peer->in.start += n;
    }
    return n == 0;
}

static void serve_peer(int epoll, struct peer *peer, uint32_t events) {
    bool alive = true;
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) alive = fill(peer->fd, &peer->in) != 0 && answer_frames(peer);
    alive = flush(peer->fd, &peer->out) && alive;
    if (!alive) {
        close(peer->fd);
        free(peer->in.data), free(peer->out.data), free(peer);
        return;
    }
    size_t unsent = peer->out.end - peer->out.start;
    uint32_t wanted = (unsent < MAX_UNSENT ? EPOLLIN : 0) | (unsent > 0 ? EPOLLOUT : 0);
    if (wanted != peer->events) watch(epoll, EPOLL_CTL_MOD, peer->fd, peer->events = wanted, peer);
}

static void backend(void) {
    int epoll = epoll_create1(0);
    struct peer *dubbo = listen_on_loopback(epoll, (struct peer){.length = dubbo_length, .answer = answer_dubbo});
    struct peer *thrift = listen_on_loopback(epoll, (struct peer){.length = thrift_length, .answer = answer_thrift});
    printf("{\"dubbo\": %u, \"thrift\": %u}\n", port_of(dubbo->fd), port_of(thrift->fd));
    fflush(stdout);
    for (;;) {
        struct epoll_event events[EVENTS];
        int n = epoll_wait(epoll, events, EVENTS, -1);
        if (n < 0 && errno != EINTR) die("epoll_wait");
        for (int i = 0; i < n; i++) {
            struct peer *peer = events[i].data.ptr;
            if (peer->listening)
                accept_peers(epoll, peer);
            else
                serve_peer(epoll, peer, events[i].events);
        }
    }
}

/* ---- latencies: log-linear, 64 steps an octave, so a value is off by less than 1 in 100 ---- */

enum { STEPS = 64, STEP_BITS = 6, OCTAVES = 64 - STEP_BITS };
static uint64_t histogram[OCTAVES * STEPS];

static void record(uint64_t ns) {
    int octave = ns < STEPS ? 0 : 63 - __builtin_clzll(ns) - STEP_BITS + 1;
    uint64_t step = octave == 0 ? ns : (ns >> (octave - 1)) - STEPS;
    histogram[octave * STEPS + step]++;
}

/* In microseconds: the middle of the step that holds this share of all values. */
static double percentile(double share) {
    uint64_t total = 0, seen = 0;
    for (int i = 0; i < OCTAVES * STEPS; i++) total += histogram[i];
    for (int i = 0; i < OCTAVES * STEPS; i++) {
        seen += histogram[i];
        if (total == 0 || seen < share * total || seen == 0) continue;
        int octave = i / STEPS, step = i % STEPS;
        return octave == 0 ? step / 1e3 : (STEPS + step + 0.5) * (double)(1ull << (octave - 1)) / 1e3;
    }
    return 0;
}

/* ---- load ---- */

struct answer {
    uint64_t id;
    const char *error; /* NULL, or what is wrong, `error_size` bytes */
    size_t error_size;
};

struct protocol {
    const char *name;
    bool has_id; /* else answers come in the order of the requests */
    uint64_t id_mask;
    void (*build)(void); /* fills `request` and where it has its id */
    long (*length)(const uint8_t *, size_t);
    bool (*read)(const uint8_t *frame, size_t n, uint64_t index, struct answer *); /* false: no answer but an event */
};

struct slot {
    uint64_t id, since, index; /* since: when it was sent; in an open loop when it was due */
    bool busy;
};

struct client {
    int fd; /* -1 when closed */
    bool writing;
    uint64_t asked, answered, first_id;
    struct buffer in, out;
    struct slot *slots;
};

static struct {
    const struct protocol *protocol;
    const char *interface, *method, *command, *key, *attachments[MAX_HOLES];
    int attachment_count, connections, depth, body, spread, first;
    double warmup, seconds, rate, patience; /* rate: 0 is a closed loop; patience: seconds that one waits for a slot */
    pid_t proxy[MAX_PROCESSES], backend[MAX_PROCESSES];
} options = {.interface = "org.bench.Service####", .method = "echo", .command = "get", .key = "key:####",
             .connections = 1, .depth = 1, .body = 64, .spread = 1, .warmup = 0.2, .seconds = 1,
             .patience = 1};

/* The request, and its holes: ids, and each #### that an index from `first` on is written to, as four digits. */
static struct buffer request;
static size_t id_at[2], index_at[MAX_HOLES];
static int id_count, index_count;
static char *body;

static enum { WARMING_UP, MEASURING, DRAINING } phase;
static uint64_t requests, errors, asked_in_all, refused, answered_in_window;
static int in_flight;
static char first_error[160];

static void fail(const char *text, size_t n, uint64_t how_many) {
    errors += how_many;
    if (first_error[0] != 0) return;
    for (size_t i = 0; i < n && i < sizeof first_error - 1; i++)
        first_error[i] = isprint((unsigned char)text[i]) && !strchr("\"\\", text[i]) ? text[i] : ' ';
}

static void build_dubbo(void) {
    append(&request, "\xda\xbb\xc2\0" "\0\0\0\0\0\0\0\0" "\0\0\0\0", 16);
    append_hessian_string(&request, "2.0.2", 5);
    append_hessian_string(&request, options.interface, strlen(options.interface));
    append_hessian_string(&request, "0.0.0", 5);
    append_hessian_string(&request, options.method, strlen(options.method));
    append_hessian_string(&request, "Ljava/lang/String;", 18);
    append_hessian_string(&request, body, options.body);
    append_byte(&request, 'H');
    for (int i = 0; i < options.attachment_count; i++) {
        const char *text = options.attachments[i], *equals = strchr(text, '=');
        append_hessian_string(&request, text, equals - text);
        append_hessian_string(&request, equals + 1, strlen(equals + 1));
    }
    append_byte(&request, 'Z');
    put32(request.data + 12, request.end - 16);
    id_at[id_count++] = 4;
}

static bool read_dubbo(const uint8_t *d, size_t n, uint64_t index, struct answer *answer) {
    (void)index;
    if (d[2] & 0x20) return false;
    answer->id = get64(d + 4);
    bool value = n > 17 && d[3] == 20 && (d[16] == 0x91 || d[16] == 0x94) && n > 17 + (size_t)options.body;
    if (!value) answer->error = (const char *)d + 16, answer->error_size = n - 16;
    if ((d[2] & 0xa0) != 0) answer->error = "not an answer", answer->error_size = 13;
    return true;
}

static void build_thrift_message(void) {
    size_t name = strlen(options.method);
    append(&request, "\x80\x01\0\1\0\0\0", 7);
    append_byte(&request, name);
    append(&request, options.method, name);
    id_at[id_count++] = request.end;
    append(&request, "\0\0\0\0" "\x0b\0\1" "\0\0\0\0", 11);
    put32(request.data + request.end - 4, options.body);
    append(&request, body, options.body);
    append_byte(&request, 0);
    put32(request.data, request.end - 4);
}

static void build_thrift(void) {
    append(&request, "\0\0\0\0", 4);
    build_thrift_message();
}

/* Protocol 0 (binary), no transforms, one info block: k=v; two bytes of padding. */
static void build_theader(void) {
    append(&request, "\0\0\0\0\x0f\xff\0\0\0\0\0\0\0\3", 14);
    append(&request, "\0\0\1\1" "\1k\1v" "\0\0\0\0", 12);
    id_at[id_count++] = 8;
    build_thrift_message();
}

static bool read_thrift(const uint8_t *d, size_t n, uint64_t index, struct answer *answer) {
    (void)index;
    size_t message = thrift_message(d, n);
    *answer = (struct answer){.id = UINT64_MAX, .error = "not a binary message", .error_size = 20};
    if (message + 12 > n || get16(d + message) != 0x8001) return true;
    size_t id = message + 8 + (size_t)get32(d + message + 4);
    if (id + 7 > n) return true;
    answer->id = get32(d + id);
    if (d[message + 3] == 2 && d[id + 4] == 0x0b && get16(d + id + 5) == 0 && n >= id + 11 + (size_t)options.body)
        answer->error = NULL;
    else
        answer->error = (const char *)d + id + 4, answer->error_size = n - id - 4;
    return true;
}

/* A value begins with its key's index, so that an answer meant for another request is seen. */
static void build_redis(void) {
    bool set = strcmp(options.command, "set") == 0;
    char text[256];
    int n = snprintf(text, sizeof text, "*%d\r\n$3\r\n%s\r\n$%zu\r\n%s\r\n", set ? 3 : 2, options.command,
                     strlen(options.key), options.key);
    append(&request, text, n);
    if (!set) return;
    append(&request, text, snprintf(text, sizeof text, "$%d\r\n", options.body));
    append(&request, body, options.body);
    append(&request, "\r\n", 2);
}

static bool read_redis(const uint8_t *d, size_t n, uint64_t index, struct answer *answer) {
    char wanted[32];
    bool set = strcmp(options.command, "set") == 0;
    int size = set ? snprintf(wanted, sizeof wanted, "+OK\r\n")
                   : snprintf(wanted, sizeof wanted, "$%d\r\n%04d", options.body, (int)index);
    if (n < (size_t)size || memcmp(d, wanted, size) != 0) answer->error = (const char *)d, answer->error_size = n;
    return true;
}

static const struct protocol protocols[] = {
    {"dubbo", true, INT64_MAX, build_dubbo, dubbo_length, read_dubbo},
    {"thrift", true, INT32_MAX, build_thrift, thrift_length, read_thrift},
    {"theader", true, INT32_MAX, build_theader, thrift_length, read_thrift},
    {"redis", false, 0, build_redis, resp_length, read_redis},
};

static void find_index_holes(void) {
    for (size_t i = 0; i + 4 <= request.end && index_count < MAX_HOLES; i++)
        if (memcmp(request.data + i, "####", 4) == 0) index_at[index_count++] = i;
}

/* since: what its latency is measured from. */
static void ask(struct client *client, unsigned number, uint64_t since) {
    struct slot *slot = &client->slots[number];
    uint64_t index = options.first + asked_in_all++ % options.spread;
    uint64_t id = (((client->first_id + client->asked++) << SLOT_BITS) | number) & options.protocol->id_mask;
    *slot = (struct slot){.id = id, .since = since, .index = index, .busy = true};
    uint8_t *frame = append(&client->out, request.data, request.end);
    for (int i = 0; i < id_count; i++) {
        if (options.protocol->id_mask > UINT32_MAX)
            put64(frame + id_at[i], id);
        else
            put32(frame + id_at[i], id);
    }
    for (int i = 0; i < index_count; i++)
        for (int digit = 3, rest = index; digit >= 0; digit--, rest /= 10) frame[index_at[i] + digit] = '0' + rest % 10;
    in_flight++;
}

static void drop(struct client *client, const char *why) {
    uint64_t lost = client->asked - client->answered;
    fail(why, strlen(why), lost ? lost : 1);
    in_flight -= lost;
    close(client->fd);
    client->fd = -1;
}

/*
 * The schedule of an open loop: request n is due at begin + n / rate, whatever became of those before it.  It goes out
 * at the next free slot of any connection; where all are taken it waits, and is given up when its patience is over.
 */
static struct {
    uint64_t begin, next; /* next: the number of the request that is sent next */
    uint64_t from, until; /* the window: requests that are due in it are measured, also when they are answered later */
    uint64_t due, late, unsent;
    int client;           /* that the next one goes to, if it has a free slot */
} schedule;

static uint64_t due_at(uint64_t number) { return schedule.begin + (uint64_t)(number * (1e9 / options.rate)); }

static bool in_window(uint64_t due) { return due >= schedule.from && due < schedule.until; }

static bool is_measured(const struct slot *slot) {
    return options.rate > 0 ? in_window(slot->since) : phase == MEASURING;
}

/* Takes the answer, and in a closed loop asks again in its slot.  False when it belongs to no request. */
static bool take(struct client *client, const uint8_t *frame, size_t n, uint64_t now) {
    struct answer answer = {0};
    unsigned number = client->answered % options.depth;
    if (!options.protocol->read(frame, n, client->slots[number].index, &answer)) return true;
    if (options.protocol->has_id) number = answer.id & ((1 << SLOT_BITS) - 1);
    if (number >= (unsigned)options.depth) return false;
    struct slot *slot = &client->slots[number];
    if (!slot->busy || (options.protocol->has_id && slot->id != answer.id)) return false;
    slot->busy = false;
    client->answered++;
    in_flight--;
    if (answer.error != NULL) fail(answer.error, answer.error_size, 1);
    if (is_measured(slot)) {
        if (answer.error == NULL) requests++, record(now - slot->since);
        else refused++;
    }
    if (phase == MEASURING && answer.error == NULL) answered_in_window++;
    if (options.rate == 0 && phase != DRAINING) ask(client, number, now);
    return true;
}

static void read_answers(struct client *client) {
    ssize_t n = fill(client->fd, &client->in);
    if (n == 0) drop(client, "connection closed by the peer");
    if (n <= 0) return;
    uint64_t now = nanoseconds(CLOCK_MONOTONIC);
    struct buffer *in = &client->in;
    long length;
    while ((length = options.protocol->length(in->data + in->start, in->end - in->start)) > 0) {
        if (!take(client, in->data + in->start, length, now)) {
            drop(client, "an answer to no request that is in flight");
            return;
        }
        in->start += length;
    }
    if (length < 0) drop(client, "bytes that are no frame of the protocol");
}

static void serve_client(int epoll, struct client *client, uint32_t events) {
    if (client->fd >= 0 && events & (EPOLLIN | EPOLLHUP | EPOLLERR)) read_answers(client);
    if (client->fd < 0) return;
    if (!flush(client->fd, &client->out)) {
        drop(client, "connection lost while writing");
        return;
    }
    bool writing = client->out.start < client->out.end;
    if (writing == client->writing) return;
    client->writing = writing;
    watch(epoll, EPOLL_CTL_MOD, client->fd, EPOLLIN | (writing ? EPOLLOUT : 0), client);
}

/* The number of a slot that is free, or -1.  Without ids answers come in order, and so must slots. */
static int free_slot(const struct client *client) {
    int first = client->asked % options.depth;
    if (client->fd < 0 || client->asked - client->answered >= (uint64_t)options.depth) return -1;
    for (int i = 0; i < options.depth; i++) {
        int number = (first + i) % options.depth;
        if (!client->slots[number].busy) return number;
    }
    return -1;
}

static bool ask_any(struct client *clients, uint64_t due) {
    for (int tried = 0; tried < options.connections; tried++) {
        struct client *client = &clients[schedule.client];
        schedule.client = (schedule.client + 1) % options.connections;
        int number = free_slot(client);
        if (number < 0) continue;
        ask(client, number, due);
        return true;
    }
    return false;
}

static void give_up(uint64_t due) {
    schedule.next++;
    if (in_window(due)) schedule.due++, schedule.unsent++;
}

/* Sends what is due.  Returns when the next one is, or 0 while those that are due wait for a slot. */
static uint64_t send_due(int epoll, struct client *clients) {
    uint64_t now = nanoseconds(CLOCK_MONOTONIC), due, wait = 0, patience = (uint64_t)(options.patience * 1e9);
    while ((due = due_at(schedule.next)) <= now) {
        if (now - due > patience) {
            give_up(due);
            continue;
        }
        if (!ask_any(clients, due)) break;
        schedule.next++;
        if (in_window(due)) schedule.due++, schedule.late += now - due > LATE;
    }
    if (due > now) wait = due;
    for (int i = 0; i < options.connections; i++)
        if (clients[i].fd >= 0 && !clients[i].writing && clients[i].out.start < clients[i].out.end)
            serve_client(epoll, &clients[i], 0);
    return wait;
}

static void end_schedule(int epoll, struct client *clients) {
    send_due(epoll, clients);
    for (uint64_t due; (due = due_at(schedule.next)) < schedule.until;) give_up(due);
}

/* Until there are events, or the time has come; epoll_wait alone knows milliseconds only. */
static void wait_until(int epoll, uint64_t time) {
    uint64_t now = nanoseconds(CLOCK_MONOTONIC), rest = time > now ? time - now : 0;
    struct timespec most = {.tv_nsec = rest < 5000000 ? rest : 5000000};
    struct pollfd ready = {.fd = epoll, .events = POLLIN};
    ppoll(&ready, 1, &most, NULL);
}

static void open_client(int epoll, struct client *client, int number, int port) {
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    client->fd = socket(AF_INET, SOCK_STREAM, 0);
    client->first_id = (uint64_t)number << 14; /* ids of two connections differ: a mix-up is then seen */
    client->slots = calloc(options.depth, sizeof *client->slots);
    if (connect(client->fd, (struct sockaddr *)&address, sizeof address) != 0) die("connect");
    set_up_stream(client->fd);
    watch(epoll, EPOLL_CTL_ADD, client->fd, EPOLLIN, client);
}

/* CPU time of the processes so far, in ns.  The clock counts all their threads, exactly, also while they run. */
static uint64_t cpu_of(const pid_t *processes) {
    uint64_t sum = 0;
    clockid_t clock;
    for (int i = 0; i < MAX_PROCESSES && processes[i]; i++)
        if (clock_getcpuclockid(processes[i], &clock) == 0) sum += nanoseconds(clock);
    return sum;
}

struct moment {
    uint64_t time, proxy, backend, own;
};

static struct moment this_moment(void) {
    return (struct moment){nanoseconds(CLOCK_MONOTONIC), cpu_of(options.proxy), cpu_of(options.backend),
                           nanoseconds(CLOCK_PROCESS_CPUTIME_ID)};
}

static void print_result(struct moment from, struct moment to) {
    printf("{\"requests\": %llu, \"seconds\": %.6f, \"errors\": %llu, \"first_error\": \"%s\", ",
           (unsigned long long)requests, (to.time - from.time) / 1e9, (unsigned long long)errors, first_error);
    printf("\"p50_us\": %.2f, \"p99_us\": %.2f, \"p999_us\": %.2f, ", percentile(0.5), percentile(0.99),
           percentile(0.999));
    printf("\"due\": %llu, \"late\": %llu, \"unsent\": %llu, \"refused\": %llu, \"answered_in_window\": %llu, ",
           (unsigned long long)schedule.due, (unsigned long long)schedule.late, (unsigned long long)schedule.unsent,
           (unsigned long long)refused, (unsigned long long)answered_in_window);
    printf("\"proxy_cpu\": %.6f, \"backend_cpu\": %.6f, \"load_cpu\": %.6f}\n", (to.proxy - from.proxy) / 1e9,
           (to.backend - from.backend) / 1e9, (to.own - from.own) / 1e9);
}

/* Warms up, measures, waits for what is in flight. */
static void run(int epoll, struct client *clients) {
    uint64_t start = nanoseconds(CLOCK_MONOTONIC);
    uint64_t until = start + (uint64_t)(options.warmup * 1e9);
    struct moment from = {0}, to = {0};
    schedule.begin = start, schedule.from = until, schedule.until = until + (uint64_t)(options.seconds * 1e9);
    while (phase != DRAINING || in_flight > 0) {
        struct epoll_event events[EVENTS];
        bool open = options.rate > 0 && phase != DRAINING;
        uint64_t next = open ? send_due(epoll, clients) : 0;
        if (next > 0) wait_until(epoll, next);
        int n = epoll_wait(epoll, events, EVENTS, next > 0 ? 0 : 5);
        uint64_t now = nanoseconds(CLOCK_MONOTONIC);
        if (now >= until && phase == WARMING_UP) {
            phase = MEASURING, from = this_moment();
            until = now + (uint64_t)(options.seconds * 1e9);
        } else if (now >= until && phase == MEASURING) {
            if (options.rate > 0) end_schedule(epoll, clients);
            phase = DRAINING, to = this_moment();
            until = now + DRAIN_SECONDS * 1000000000ull;
        } else if (now >= until) {
            fail("no answer", 9, in_flight);
            break;
        }
        for (int i = 0; i < n; i++) serve_client(epoll, events[i].data.ptr, events[i].events);
    }
    print_result(from, to);
}

static int load(int port) {
    body = malloc(options.body + 1);
    memset(body, 'x', options.body + 1);
    if (strcmp(options.protocol->name, "redis") == 0) memset(body, '#', options.body < 4 ? options.body : 4);
    options.protocol->build();
    find_index_holes();
    int epoll = epoll_create1(0);
    struct client *clients = calloc(options.connections, sizeof *clients);
    for (int i = 0; i < options.connections; i++) open_client(epoll, &clients[i], i, port);
    for (int i = 0; i < options.connections && options.rate == 0; i++) {
        for (int slot = 0; slot < options.depth; slot++) ask(&clients[i], slot, nanoseconds(CLOCK_MONOTONIC));
        serve_client(epoll, &clients[i], 0);
    }
    run(epoll, clients);
    return 0;
}

/* ---- options ---- */

static void read_processes(pid_t *processes, const char *text) {
    for (int i = 0; i < MAX_PROCESSES && *text; i++) {
        char *end;
        processes[i] = strtol(text, &end, 10);
        text = *end == ',' ? end + 1 : "";
    }
}

static const struct protocol *protocol_named(const char *name) {
    for (size_t i = 0; i < sizeof protocols / sizeof *protocols; i++)
        if (strcmp(protocols[i].name, name) == 0) return &protocols[i];
    errno = 0;
    die("--protocol is dubbo, thrift, theader or redis");
    return NULL;
}

static void read_option(const char *name, const char *value) {
#define IS(option) (strcmp(name, option) == 0)
    if (IS("protocol")) options.protocol = protocol_named(value);
    else if (IS("connections")) options.connections = atoi(value);
    else if (IS("depth")) options.depth = atoi(value);
    else if (IS("body")) options.body = atoi(value);
    else if (IS("warmup")) options.warmup = atof(value);
    else if (IS("seconds")) options.seconds = atof(value);
    else if (IS("rate")) options.rate = atof(value);
    else if (IS("patience")) options.patience = atof(value);
    else if (IS("interface")) options.interface = value;
    else if (IS("method")) options.method = value;
    else if (IS("command")) options.command = value;
    else if (IS("key")) options.key = value;
    else if (IS("spread")) options.spread = atoi(value);
    else if (IS("first")) options.first = atoi(value);
    else if (IS("proxy")) read_processes(options.proxy, value);
    else if (IS("backend")) read_processes(options.backend, value);
    else if (IS("attachment") && strchr(value, '=') && options.attachment_count < MAX_HOLES)
        options.attachments[options.attachment_count++] = value;
#undef IS
}

static int read_options(int count, char **words) {
    static const struct option known[] = {
        {"protocol", 1, 0, 0},  {"connections", 1, 0, 0}, {"depth", 1, 0, 0}, {"body", 1, 0, 0},  {"warmup", 1, 0, 0},
        {"seconds", 1, 0, 0},   {"interface", 1, 0, 0},   {"method", 1, 0, 0}, {"attachment", 1, 0, 0},
        {"command", 1, 0, 0},   {"key", 1, 0, 0},         {"spread", 1, 0, 0}, {"first", 1, 0, 0},
        {"proxy", 1, 0, 0},     {"backend", 1, 0, 0},     {"rate", 1, 0, 0},  {"patience", 1, 0, 0},  {0}};
    int which, found;
    while ((found = getopt_long(count, words, "", known, &which)) == 0) read_option(known[which].name, optarg);
    errno = 0;
    if (found != -1 || optind + 1 != count || options.protocol == NULL)
        die("usage: load ask --protocol NAME [options] PORT");
    if (options.connections < 1 || options.depth < 1 || options.depth > 1 << SLOT_BITS || options.body < 4 ||
        options.body > MAX_FRAME / 2 || options.spread < 1 || options.first + options.spread > 10000 ||
        !(options.rate >= 0 && options.rate <= 1e7) || !(options.patience >= 0 && options.patience <= 3600))
        die("an option is out of bounds");
    return atoi(words[optind]);
}

static void run_pinned(int core, char **command) {
    cpu_set_t cores;
    CPU_ZERO(&cores);
    CPU_SET(core, &cores);
    if (sched_setaffinity(0, sizeof cores, &cores) != 0) die("sched_setaffinity");
    execvp(command[0], command);
    die(command[0]);
}

int main(int count, char **words) {
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* never outlives the bench */
    prctl(PR_SET_TIMERSLACK, 1);      /* an open loop's requests are due to the microsecond */
    if (count == 2 && strcmp(words[1], "backend") == 0) backend();
    if (count > 2 && strcmp(words[1], "ask") == 0) return load(read_options(count - 1, words + 1));
    if (count > 3 && strcmp(words[1], "pin") == 0) run_pinned(atoi(words[2]), words + 3);
    errno = 0;
    die("usage: load backend | load ask --protocol NAME [options] PORT | load pin CORE COMMAND ...");
    return 2;
}
