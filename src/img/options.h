/*
 * rhea-img: options of image creation, "-o".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef IMG_OPTIONS_H
#define IMG_OPTIONS_H

#include "img.h"

bool img_is_help(const char *list);
/* What "-o help" shows; an exit status. */
int img_print_options(const char *format);
/* 0, or 1 after a line that names what `format` has not.  `filename` may be
 * NULL. */
int img_check_options(const char *format, const char *filename, Opt *options,
                      bool may_size);
/* "Formatting 'x', fmt=qcow2 cluster_size=65536 ..." */
void img_print_formatting(const char *filename, const char *format,
                          Opt *options);
int img_no_objects(const char *object);

#endif
