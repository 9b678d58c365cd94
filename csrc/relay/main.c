/* SPDX-License-Identifier: Apache-2.0 */
/* main.c - the relay: what a kube-proxy in mode userspace is to its node, for all nodes of a lab.
 *
 *	NETSIM_STATE=DIRECTORY relay
 *
 * It listens at each node for each service port, takes connections and datagrams, chooses an
 * endpoint, and speaks to that in the node's name. What it has to do it is told at the Unix socket
 * relay.sock (control.c), and goes on with until told otherwise. One thread; init starts it again.
 */
#include "relay.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

int main(void)
{
	const char *state = getenv("NETSIM_STATE");
	char path[PATH_MAX];
	uint64_t random = 0;
	int error;

	(void)snprintf(path, sizeof(path), "%s/relay.sock", state ? state : ".");
	(void)signal(SIGPIPE, SIG_IGN);
	(void)getrandom(&random, sizeof(random), 0);
	tables_init(random);
	udp_init();
	error = loop_init();
	if (!error)
		error = space_init();
	if (!error)
		error = tcp_init();
	if (!error)
		error = control_open(path);
	if (!error)
		error = loop_run();
	(void)fprintf(stderr, "relay: %s\n", strerror(-error));
	return 1;
}
