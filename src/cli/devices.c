/*
 * -global, -device and -object.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "cli.h"

#include <string.h>

#include "base/log.h"
#include "core/user-object.h"

bool globals_setup(Options *o, GError **err)
{
    Opt *list = options_get(o, "global");

    for (unsigned i = 0; list && i < opt_len(list); i++) {
        Opt *dict = opt_at(list, i);
        const char *driver = NULL, *property = NULL, *value = NULL;

        if (!opt_get_string(dict, "driver", &driver, err)
            || !opt_get_string(dict, "property", &property, err)
            || !opt_get_string(dict, "value", &value, err)
            || !opt_all_read(dict, "-global", NULL, err)
            || ((!driver || !property || !value)
                && !options_fail(err, "driver.property=value expected"))) {
            return options_at(o, dict, err);
        }
        prop_add_global(driver, property, value, true);
    }
    return true;
}

/* Before drives and devices, which name them. */
bool objects_setup(Options *o, GError **err)
{
    Opt *list = options_get(o, "object");

    for (unsigned i = 0; list && i < opt_len(list); i++) {
        Opt *dict = opt_at(list, i);

        if (!user_object_add(dict, err)) {
            return options_at(o, dict, err);
        }
    }
    return true;
}

static bool make_device(Opt *dict, GError **err)
{
    Opt *driver = opt_peek(dict, "driver");
    const char *name = driver ? opt_string(driver) : NULL;
    const char *accepted = NULL, *what;

    if (name && !type_find(name)
        && (what = device_is_for_later(name, &accepted))) {
        return options_fail(err, "'%s': %s not implemented yet%s%s", name,
                            what, accepted ? "; " : "",
                            accepted ? accepted : "");
    }
    return device_add(dict, err);
}

bool devices_setup(Options *o, GError **err)
{
    Opt *list = options_get(o, "device");

    for (unsigned i = 0; list && i < opt_len(list); i++) {
        if (!make_device(opt_at(list, i), err)) {
            return options_at(o, opt_at(list, i), err);
        }
    }
    prop_warn_unused_globals();
    return true;
}
