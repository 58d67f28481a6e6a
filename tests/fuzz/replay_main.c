/* Runs a fuzz target over files instead of a fuzzer's ideas, so that every compiler's test run
 * repeats what fuzzing once found. Arguments are files or directories of files. Replaying nothing
 * is a failure: a corpus that was moved away must not look like one that passed. */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t n_replayed;

static void die(const char *what, const char *path)
{
    fprintf(stderr, "replay: could not %s \"%s\": %s\n", what, path, strerror(errno));
    exit(1);
}

/* The bytes live in a block of exactly their size, so that a read past the end is seen. */
static void replay_file(const char *path, size_t size)
{
    uint8_t *bytes = malloc(size == 0 ? 1 : size);
    FILE *file = fopen(path, "rb");

    if (file == NULL || bytes == NULL)
        die("open", path);
    if (fread(bytes, 1, size, file) != size)
        die("read", path);
    fclose(file);
    fprintf(stderr, "replay: %s\n", path);
    LLVMFuzzerTestOneInput(bytes, size);
    free(bytes);
    n_replayed++;
}

static void replay_directory(const char *path);

static void replay(const char *path)
{
    struct stat st;

    if (stat(path, &st) != 0)
        die("find", path);
    if (S_ISDIR(st.st_mode))
        replay_directory(path);
    else
        replay_file(path, (size_t)st.st_size);
}

static void replay_directory(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    char child[4096];

    if (dir == NULL)
        die("open", path);
    while ((entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        int n = snprintf(child, sizeof child, "%s/%s", path, entry->d_name);
        if (n < 0 || (size_t)n >= sizeof child) {
            errno = ENAMETOOLONG;
            die("name", path);
        }
        replay(child);
    }
    closedir(dir);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        replay(argv[i]);
    if (n_replayed == 0) {
        fprintf(stderr, "replay: no input\n");
        return 1;
    }
    printf("replayed %zu inputs\n", n_replayed);
    return 0;
}
