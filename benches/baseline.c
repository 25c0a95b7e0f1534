/*
 * The talk's first quiz as a plain C programme, in namespaces of its own: what a case
 * costs when nothing is observed but what the quiz asks.
 *
 *   baseline JOBS RUNS
 *
 * JOBS times at once, RUNS times in a row, it executes itself as a lab, waits for it,
 * and prints how many microseconds that took.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PORT = 80, BACKLOG = 32 };

static const char GREETING[] = "Hello World";

static void must(int holds, const char *what)
{
	if (!holds) {
		perror(what);
		exit(1);
	}
}

/* Waits for a child process and says whether it succeeded. */
static int succeeded(pid_t child)
{
	int status;

	must(waitpid(child, &status, 0) == child, "waitpid");
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void set_up_network(void)
{
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	must(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0, "make mounts private");
	must(mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) == 0,
	     "mount proc");
	must(ioctl(fd, SIOCSIFFLAGS, &lo) == 0, "set lo up");
	close(fd);
}

static int start_capture(void)
{
	struct sockaddr_ll lo = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ALL),
		.sll_ifindex = if_nametoindex("lo"),
	};
	int wire = socket(AF_PACKET, SOCK_RAW, 0);

	must(wire >= 0, "socket(AF_PACKET)");
	must(bind(wire, (struct sockaddr *)&lo, sizeof(lo)) == 0, "bind(AF_PACKET)");
	return wire;
}

/* Whether an RST from the server is among the captured packets. */
static int captured_reset(int wire)
{
	unsigned char frame[512];
	ssize_t length;
	int seen = 0;

	while ((length = recv(wire, frame, sizeof(frame), MSG_DONTWAIT)) > 0) {
		struct tcphdr tcp;
		size_t at = sizeof(struct ethhdr) + sizeof(struct iphdr);

		if ((size_t)length < at + sizeof(tcp))
			continue;
		memcpy(&tcp, frame + at, sizeof(tcp));
		seen |= tcp.rst && tcp.source == htons(PORT);
	}
	return seen;
}

static const struct sockaddr_in SERVER = {
	.sin_family = AF_INET,
	.sin_port = __builtin_bswap16(PORT),
	.sin_addr.s_addr = __builtin_bswap32(INADDR_LOOPBACK),
};

static int listener(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	int yes = 1;

	must(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof(yes)) == 0, "SO_REUSEPORT");
	must(bind(fd, (const struct sockaddr *)&SERVER, sizeof(SERVER)) == 0, "bind");
	must(listen(fd, BACKLOG) == 0, "listen");
	return fd;
}

static void quiz1(void)
{
	int wire = start_capture();
	int a = listener();
	int client = socket(AF_INET, SOCK_STREAM, 0);
	struct pollfd child = { .fd = a, .events = POLLIN };
	char byte;
	int b;

	must(connect(client, (const struct sockaddr *)&SERVER, sizeof(SERVER)) == 0, "connect");
	must(send(client, GREETING, strlen(GREETING), 0) == (ssize_t)strlen(GREETING), "send");
	must(poll(&child, 1, 10000) == 1, "a child in A's accept queue");
	b = listener();
	close(a);
	must(accept(b, NULL, NULL) == -1 && errno == EAGAIN, "accept(B) is EAGAIN");
	must(recv(client, &byte, 1, 0) == -1 && errno == ECONNRESET, "recv(client) is ECONNRESET");
	must(captured_reset(wire), "an RST on the wire");
}

static int lab(void)
{
	pid_t init;

	must(unshare(CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWNS) == 0, "unshare");
	init = fork();
	must(init >= 0, "fork");
	if (init == 0) {
		set_up_network();
		quiz1();
		exit(0);
	}
	return !succeeded(init);
}

static void run(const char *self)
{
	struct timespec start, end;
	pid_t child;

	clock_gettime(CLOCK_MONOTONIC, &start);
	child = vfork();
	must(child >= 0, "vfork");
	if (child == 0) {
		execl("/proc/self/exe", self, "lab", NULL);
		_exit(127);
	}
	must(succeeded(child), "the lab's success");
	clock_gettime(CLOCK_MONOTONIC, &end);
	dprintf(STDOUT_FILENO, "%lld\n",
		(end.tv_sec - start.tv_sec) * 1000000LL + (end.tv_nsec - start.tv_nsec) / 1000);
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "lab") == 0)
		return lab();
	if (argc != 3)
		return 2;
	int failed = 0, jobs = atoi(argv[1]), runs = atoi(argv[2]);

	for (int job = 0; job < jobs; job++) {
		if (fork() == 0) {
			for (int i = 0; i < runs; i++)
				run(argv[0]);
			return 0;
		}
	}
	for (int status; wait(&status) > 0;)
		failed |= status != 0;
	return failed;
}
