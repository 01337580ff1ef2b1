/* temp_folder.h - a folder of a test's own, which goes away with the test. */
#ifndef TG_TESTS_TEMP_FOLDER_H
#define TG_TESTS_TEMP_FOLDER_H

#include "base/str.h"

enum { TEMP_FOLDER_PATH = 64 };

/* Makes one in /tmp and writes down its path. */
void temp_folder_make(char path[TEMP_FOLDER_PATH]);
/* With all that is in it. */
void temp_folder_remove(const char *path);

/* A file with that text, instead of one that is there. path ends with NUL. */
void temp_file_write(struct str path, const char *text);

#endif
