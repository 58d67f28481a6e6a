#include "scratch.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/buf.h"

static char directory[64];

void scratch_make(void)
{
    (void)snprintf(directory, sizeof directory, "/tmp/doorman-test-XXXXXX");
    DM_REQUIRE(mkdtemp(directory) != NULL);
}

const char *scratch_path(const char *name)
{
    static char paths[4][512];
    static size_t next;
    char *path = paths[next++ % 4];
    (void)snprintf(path, sizeof paths[0], "%s/%s", directory, name);
    return path;
}

void scratch_remove(void)
{
    DIR *dir = opendir(directory);
    if (dir == NULL)
        return;
    for (const struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            (void)remove(scratch_path(e->d_name));
    }
    closedir(dir);
    (void)rmdir(directory);
}

char *scratch_read(const char *name)
{
    struct dm_buf text;
    FILE *f = fopen(scratch_path(name), "r");
    if (f == NULL)
        return NULL;
    dm_buf_init(&text, 64 << 20);
    for (int c = fgetc(f); c != EOF; c = fgetc(f))
        dm_buf_add_byte(&text, (char)c);
    (void)fclose(f);
    return dm_buf_take(&text, NULL);
}

size_t count_of(const char *text, const char *part)
{
    size_t n = 0;
    for (const char *at = strstr(text, part); at != NULL; at = strstr(at + 1, part))
        n++;
    return n;
}
