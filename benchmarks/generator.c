/* Sends precomputed datagrams over loopback UDP at an even rate, and says how many went out.

   generator PORT FILE RATE SECONDS MOST
     PORT     on 127.0.0.1
     FILE     datagrams, each as a 4-byte length in the machine's own order and its bytes; sent in turn, over and over
     RATE     datagrams a second; 0 as fast as they go
     SECONDS  how long
     MOST     datagrams after which it ends before that; 0 however many

   Prints: datagrams sent, nanoseconds taken.

   Bursts are at most 32 datagrams. Where the generator was kept from running it does not catch up by more than
   ARREARS_NS: a burst of milliseconds' worth would measure the scheduler, not the receiver. The rate that was
   reached is sent / taken. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BURST 32
#define ARREARS_NS 500000LL
#define SLEEP_NS 200000LL /* a longer wait sleeps, a shorter one spins */

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

/* Reads the whole file; returns how many datagrams, and where they are. */
static size_t load(const char *path, struct iovec **datagrams)
{
    FILE *file = fopen(path, "rb");
    if (!file) fail(path);
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    rewind(file);
    char *bytes = malloc(size > 0 ? (size_t)size : 1);
    if (!bytes || fread(bytes, 1, size, file) != (size_t)size) fail(path);
    fclose(file);
    size_t count = 0, room = 1024;
    *datagrams = malloc(room * sizeof **datagrams);
    for (char *at = bytes; at < bytes + size;) {
        uint32_t length;
        memcpy(&length, at, sizeof length);
        if (count == room) *datagrams = realloc(*datagrams, (room *= 2) * sizeof **datagrams);
        if (!*datagrams) fail("memory");
        (*datagrams)[count].iov_base = at + sizeof length;
        (*datagrams)[count++].iov_len = length;
        at += sizeof length + length;
    }
    return count;
}

int main(int argc, char **argv)
{
    if (argc != 6) return fprintf(stderr, "usage: generator PORT FILE RATE SECONDS MOST\n"), 2;
    struct iovec *datagrams;
    size_t count = load(argv[2], &datagrams);
    double rate = atof(argv[3]);
    int64_t length_ns = (int64_t)(atof(argv[4]) * 1e9);
    int64_t most = atoll(argv[5]);
    if (!count) return fprintf(stderr, "no datagrams\n"), 2;

    int made = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (made < 0 || connect(made, (struct sockaddr *)&to, sizeof to)) fail("socket");

    struct mmsghdr burst[BURST];
    memset(burst, 0, sizeof burst);
    for (int i = 0; i < BURST; i++) burst[i].msg_hdr.msg_iovlen = 1;

    int64_t started = now_ns(), ends = started + length_ns, now;
    double due_ns = started, step_ns = rate > 0 ? 1e9 / rate : 0;
    int64_t sent = 0;
    size_t next = 0;
    while ((now = now_ns()) < ends && (!most || sent < most)) {
        int size = BURST;
        if (step_ns > 0) {
            if (now < due_ns) {
                int64_t wait = (int64_t)due_ns - now;
                if (wait > SLEEP_NS) {
                    struct timespec pause = {0, wait - SLEEP_NS / 2};
                    if (pause.tv_nsec > 999999999) pause.tv_nsec = 999999999;
                    nanosleep(&pause, NULL);
                }
                continue;
            }
            if (now - due_ns > ARREARS_NS) due_ns = now - ARREARS_NS;
            double due = (now - due_ns) / step_ns + 1;
            if (due < size) size = (int)due;
        }
        if (most && most - sent < size) size = (int)(most - sent);
        for (int i = 0; i < size; i++) burst[i].msg_hdr.msg_iov = &datagrams[(next + i) % count];
        int went = sendmmsg(made, burst, size, 0);
        if (went < 0) {
            /* No room on the way: nothing went, it is not counted, and the schedule stays. */
            if (errno == ENOBUFS || errno == EAGAIN || errno == EINTR) continue;
            fail("sendmmsg");
        }
        sent += went;
        next = (next + went) % count;
        due_ns += went * step_ns;
    }
    printf("%lld %lld\n", (long long)sent, (long long)(now - started));
    return 0;
}
