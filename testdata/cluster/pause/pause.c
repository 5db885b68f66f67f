/*
 * The first process of every pod: it holds the pod's namespaces open and reaps the children that are handed to it.
 * It ends on SIGINT and SIGTERM, and does nothing else.
 */
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/wait.h>

int main(void) {
  sigset_t watched;
  sigemptyset(&watched);
  sigaddset(&watched, SIGINT);
  sigaddset(&watched, SIGTERM);
  sigaddset(&watched, SIGCHLD);
  /* Blocked and then waited for, so that no signal is lost between two looks. */
  if (sigprocmask(SIG_BLOCK, &watched, NULL) != 0) return EXIT_FAILURE;

  for (;;) {
    int received;
    if (sigwait(&watched, &received) != 0) return EXIT_FAILURE;
    if (received != SIGCHLD) return EXIT_SUCCESS;
    /* Several ended children may raise one signal only. */
    while (waitpid(-1, NULL, WNOHANG) > 0) continue;
  }
}
