/* SPDX-License-Identifier: Apache-2.0 */
/* TCP over loopback: one process asks, another answers. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "work.h"

#define MESSAGE 1024

static void receive(int fd, uint8_t *buf)
{
	size_t got = 0;

	while (got < MESSAGE) {
		ssize_t n = read(fd, buf + got, MESSAGE - got);

		if (n <= 0)
			work_fail("tcp: read");
		got += (size_t)n;
	}
}

static void send_all(int fd, const uint8_t *buf)
{
	if (write(fd, buf, MESSAGE) != MESSAGE)
		work_fail("tcp: write");
}

/* Each answer is the question, every byte changed. */
static void serve(int listener, unsigned count)
{
	uint8_t buf[MESSAGE];
	int fd = accept(listener, NULL, NULL);

	for (unsigned i = 0; i < count; i++) {
		receive(fd, buf);
		for (int b = 0; b < MESSAGE; b++)
			buf[b] = (uint8_t)(buf[b] * 3 + 1);
		send_all(fd, buf);
	}
	_exit(0);
}

static uint64_t ask(int fd, unsigned count)
{
	uint64_t sum = WORK_SUM;
	uint8_t buf[MESSAGE] = { 1 };

	for (unsigned i = 0; i < count; i++) {
		buf[i % MESSAGE] = (uint8_t)i;
		send_all(fd, buf);
		receive(fd, buf);
		sum = work_mix(sum, buf[i % MESSAGE]);
	}
	return sum;
}

static int listen_somewhere(struct sockaddr_in *at)
{
	socklen_t len = sizeof(*at);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	*at = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	if (fd < 0 || bind(fd, (struct sockaddr *)at, len) || listen(fd, 1) ||
	    getsockname(fd, (struct sockaddr *)at, &len))
		work_fail("tcp: listen");
	return fd;
}

static uint64_t work_tcp(unsigned rounds)
{
	unsigned count = rounds * 100;
	struct sockaddr_in at;
	int listener = listen_somewhere(&at), fd, one = 1;
	uint64_t sum;
	pid_t child = fork();

	if (child < 0)
		work_fail("fork");
	if (!child)
		serve(listener, count);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&at, sizeof(at)))
		work_fail("tcp: connect");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	sum = ask(fd, count);
	close(fd);
	close(listener);
	waitpid(child, NULL, 0);
	return sum;
}

const struct workload net_workloads[] = {
	{ "tcp", "1 KiB there and back over loopback", work_tcp, 100 },
	{ NULL },
};
