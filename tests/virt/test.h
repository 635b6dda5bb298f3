/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KUSE_TESTS_VIRT_TEST_H
#define KUSE_TESTS_VIRT_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#endif
