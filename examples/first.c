// Send your first events with nothing but POSIX sockets. A datagram that starts with { is a JSON event, so that
// metrics with units and log events need no HTTP library either.
#define _POSIX_C_SOURCE 200809L
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(void) {
    const char *given = getenv("STATSD_ADDR");
    char host[256];
    snprintf(host, sizeof host, "%s", given ? given : "localhost:8125");
    char *colon = strrchr(host, ':');
    if (!colon) return fprintf(stderr, "STATSD_ADDR must be host:port\n"), 2;
    *colon = '\0';

    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_DGRAM}, *address;
    int failed = getaddrinfo(host, colon + 1, &hints, &address);
    if (failed) return fprintf(stderr, "%s: %s\n", host, gai_strerror(failed)), 1;
    int statsd = socket(address->ai_family, address->ai_socktype, 0);

    // <name>:<value>|<type>|#<tag>:<value>,...  Tags become dimensions; nothing waits for an answer.
    const char *events[] = {
        "OrdersPlaced:1|c|#Service:checkout,Region:eu",
        "OrderLatency:245.5|ms|#Service:checkout",
        "{\"name\": \"OrderSize\", \"value\": 18432, \"unit\": \"Bytes\", \"dimensions\": {\"Service\": \"checkout\"}}",
        "{\"message\": \"order placed\", \"service\": \"checkout\", \"order_id\": \"A-1001\"}",
    };
    for (size_t i = 0; i < sizeof events / sizeof *events; i++)
        if (sendto(statsd, events[i], strlen(events[i]), 0, address->ai_addr, address->ai_addrlen) < 0) perror("sendto");

    freeaddrinfo(address);
    close(statsd);
    return 0;
}
