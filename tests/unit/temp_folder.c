/* temp_folder.c - see temp_folder.h. */
#include "temp_folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

void temp_folder_make(char path[TEMP_FOLDER_PATH])
{
    snprintf(path, TEMP_FOLDER_PATH, "/tmp/tollgate-test-XXXXXX");
    assert_non_null(mkdtemp(path));
}

static int drop(const char *path, const struct stat *st, int type,
                struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void temp_folder_remove(const char *path)
{
    assert_int_equal(nftw(path, drop, 8, FTW_DEPTH | FTW_PHYS), 0);
}

void temp_file_write(struct str path, const char *text)
{
    FILE *f = fopen(path.p, "we");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}
