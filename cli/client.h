/* SPDX-License-Identifier: Apache-2.0 */
/* client.c: can a program be run with a library in front of its libc? */
#ifndef KUSE_CLI_CLIENT_H
#define KUSE_CLI_CLIENT_H

/* Finds `name` as execvp(3) does; the path in buf (PATH_MAX). STATUS_OK, or complains:
 * STATUS_CLIENT_NOT_FOUND, STATUS_CLIENT_NOT_RUNNABLE. */
int client_find(const char *name, char *buf);
/* Complains of what the dynamic linker would not let us into: STATUS_CLIENT_NOT_RUNNABLE for a file of
 * another kind or machine, STATUS_CLIENT_CLOSED for a static, a privileged one, or one of another libc. */
int client_check(const char *path);

#endif
