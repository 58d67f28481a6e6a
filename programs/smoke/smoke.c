#include "programs/smoke/smoke.h"

#include "base/clock.h"
#include "codec/json.h"
#include "crypto/random.h"
#include "programs/smoke/call.h"
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/poison.h"

enum {
    TEXT_MAX = 256 * 1024,
    SECRET_MAX = 4096, /* as of every secret among the settings */
    CALLS_PER_HOUR = 2 /* of the user made here: the next one is 429 */
};
/* A change is in force in every gateway within a second; a gateway that missed the news asks again
 * after five. */
static const dm_time in_force_within = 15 * DM_SEC, ask_again = 100 * DM_MS;

struct smoke {
    struct dm_url admin, gateway;
    const char *upstream, *email;
    struct dm_buf password;
    struct dm_buf admin_token, user_token;
    char name[40], user_password[48];
    struct dm_buf answer;
    bool calls; /* false: there is no gateway to ask, only sidecars of others */
    bool made_user, made_api, failed;
};

static void say(struct smoke *s, bool good, const char *what, int status, const char *why)
{
    printf("%-6s %s", good ? "ok" : "FAILED", what);
    if (status > 0)
        printf(": %d", status);
    printf("%s%s\n", why[0] == '\0' ? "" : ": ", why);
    s->failed |= !good;
}

/* --- where to, and who --- */

static bool url_of(const char *variable, const char *fallback, struct dm_url *ret)
{
    const char *text = getenv(variable);
    struct dm_error err;

    text = text == NULL || text[0] == '\0' ? fallback : text;
    if (dm_url_parse(dm_view_of(text), ret, &err) == DM_OK &&
        dm_view_eq(ret->scheme, DM_LIT("http")))
        return true;
    fprintf(stderr, "%s: \"%s\" is no http:// address\n", variable, text);
    return false;
}

static bool read_password(struct dm_buf *out)
{
    const char *path = getenv("SMOKE_PASSWORD_FILE"), *text = getenv("SMOKE_PASSWORD");
    char bytes[SECRET_MAX];
    ssize_t n = -1;

    if (path != NULL) {
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        n = fd < 0 ? -1 : read(fd, bytes, sizeof(bytes));
        if (fd >= 0)
            close(fd);
        while (n > 0 && bytes[n - 1] == '\n')
            n--;
        if (n > 0)
            dm_buf_add(out, dm_view_make(bytes, (size_t)n));
        dm_mem_wipe(bytes, sizeof(bytes));
    } else if (text != NULL) {
        dm_buf_add(out, dm_view_of(text));
    }
    if (dm_buf_view(out).len > 0)
        return true;
    fputs("SMOKE_PASSWORD or SMOKE_PASSWORD_FILE: the administrator's password is needed\n",
          stderr);
    return false;
}

static bool prepare(struct smoke *s)
{
    const char *email = getenv("SMOKE_EMAIL"), *upstream = getenv("SMOKE_REST_UPSTREAM");

    dm_buf_init(&s->password, SECRET_MAX);
    dm_buf_init(&s->admin_token, TEXT_MAX);
    dm_buf_init(&s->user_token, TEXT_MAX);
    dm_buf_init(&s->answer, TEXT_MAX);
    s->email = email == NULL ? "admin@doorman.dev" : email;
    /* Whoever answers GET /api/health: the admin itself does. */
    s->upstream = upstream == NULL ? "http://127.0.0.1:3001" : upstream;
    snprintf(s->name, sizeof(s->name), "smoke%016llx", (unsigned long long)dm_random_u64());
    snprintf(s->user_password, sizeof(s->user_password), "Sm0ke!%016llx%016llx",
             (unsigned long long)dm_random_u64(), (unsigned long long)dm_random_u64());
    const char *gateway = getenv("SMOKE_GATEWAY_URL");
    s->calls = gateway == NULL || strcmp(gateway, "none") != 0;
    return url_of("SMOKE_ADMIN_URL", "http://127.0.0.1:3001", &s->admin) &&
           (!s->calls || url_of("SMOKE_GATEWAY_URL", "http://127.0.0.1:5001", &s->gateway)) &&
           read_password(&s->password);
}

static void clean(struct smoke *s)
{
    dm_view password = dm_buf_view(&s->password);

    if (password.len > 0)
        dm_mem_wipe((void *)(uintptr_t)password.ptr, password.len);
    dm_buf_done(&s->password);
    dm_buf_done(&s->admin_token);
    dm_buf_done(&s->user_token);
    dm_buf_done(&s->answer);
}

/* --- calls --- */

/* body is taken. */
static int ask_admin(struct smoke *s, const char *method, const char *path, struct dm_json *body,
                     struct dm_error *err)
{
    struct dm_buf text;
    int status;

    dm_buf_init(&text, TEXT_MAX);
    if (body != NULL)
        dm_json_write(body, &text);
    dm_json_free(body);
    dm_buf_clear(&s->answer);
    status = call_make(&(struct call){.to = &s->admin,
                                      .method = method,
                                      .path = dm_view_of(path),
                                      .token = dm_buf_view(&s->admin_token),
                                      .body = dm_buf_view(&text)},
                       &s->answer, err);
    dm_buf_done(&text);
    return status;
}

/* One step that must answer 200 or 201. */
static bool step(struct smoke *s, const char *what, const char *method, const char *path,
                 struct dm_json *body)
{
    struct dm_error err = {0};
    int status = ask_admin(s, method, path, body, &err);
    bool good = status == 200 || status == 201;
    dm_view answer = dm_view_sub(dm_buf_view(&s->answer), 0, 300);
    char why[320] = "";

    if (!good)
        snprintf(why, sizeof(why), "%.*s", status == 0 ? (int)strlen(err.text) : (int)answer.len,
                 status == 0 ? err.text : answer.ptr);
    say(s, good, what, status, why);
    return good;
}

static bool log_in(struct smoke *s, const char *what, dm_view email, dm_view password,
                   struct dm_buf *ret_token)
{
    struct dm_json *body = dm_json_new_object();
    dm_view raw;

    dm_json_set_str(body, DM_LIT("email"), email);
    dm_json_set_str(body, DM_LIT("password"), password);
    if (!step(s, what, "POST", "/platform/authorization", body))
        return false;
    if (dm_json_raw_member(dm_buf_view(&s->answer), DM_LIT("access_token"), &raw) &&
        dm_json_raw_string(raw, ret_token))
        return true;
    say(s, false, what, 0, "the answer holds no access_token");
    return false;
}

static int ask_gateway(struct smoke *s, dm_view token, struct dm_error *err)
{
    char path[96];

    snprintf(path, sizeof(path), "/api/rest/%s/v1/api/health", s->name);
    dm_buf_clear(&s->answer);
    return call_make(
        &(struct call){
            .to = &s->gateway, .method = "GET", .path = dm_view_of(path), .token = token},
        &s->answer, err);
}

/* A look at whether it is time again; nothing here could wake it earlier. */
static void nap(dm_time t)
{
    poll(NULL, 0, (int)(t / DM_MS));
}

/* --- what it does --- */

static bool make_user(struct smoke *s)
{
    struct dm_json *groups = dm_json_new_array(), *body = dm_json_new_object();
    char email[80];

    snprintf(email, sizeof(email), "%s@example.com", s->name);
    dm_json_push(groups, dm_json_new_str(DM_LIT("ALL")));
    dm_json_set_str(body, DM_LIT("username"), dm_view_of(s->name));
    dm_json_set_str(body, DM_LIT("email"), dm_view_of(email));
    dm_json_set_str(body, DM_LIT("password"), dm_view_of(s->user_password));
    dm_json_set_str(body, DM_LIT("role"), DM_LIT("user"));
    dm_json_set(body, DM_LIT("groups"), groups);
    dm_json_set_bool(body, DM_LIT("rate_limit_enabled"), true);
    dm_json_set_i64(body, DM_LIT("rate_limit_duration"), CALLS_PER_HOUR);
    dm_json_set_str(body, DM_LIT("rate_limit_duration_type"), DM_LIT("hour"));
    s->made_user = step(s, "create a user", "POST", "/platform/user", body);
    return s->made_user;
}

static bool make_api(struct smoke *s)
{
    struct dm_json *groups = dm_json_new_array(), *servers = dm_json_new_array();
    struct dm_json *body = dm_json_new_object();

    dm_json_push(groups, dm_json_new_str(DM_LIT("ALL")));
    dm_json_push(servers, dm_json_new_str(dm_view_of(s->upstream)));
    dm_json_set_str(body, DM_LIT("api_name"), dm_view_of(s->name));
    dm_json_set_str(body, DM_LIT("api_version"), DM_LIT("v1"));
    dm_json_set_str(body, DM_LIT("api_type"), DM_LIT("REST"));
    dm_json_set(body, DM_LIT("api_servers"), servers);
    dm_json_set(body, DM_LIT("api_allowed_groups"), groups);
    s->made_api = step(s, "create an API", "POST", "/platform/api", body);
    return s->made_api;
}

static struct dm_json *api_named(const struct smoke *s)
{
    struct dm_json *body = dm_json_new_object();

    dm_json_set_str(body, DM_LIT("api_name"), dm_view_of(s->name));
    dm_json_set_str(body, DM_LIT("api_version"), DM_LIT("v1"));
    return body;
}

static bool make_endpoint(struct smoke *s)
{
    struct dm_json *body = api_named(s);

    dm_json_set_str(body, DM_LIT("endpoint_method"), DM_LIT("GET"));
    dm_json_set_str(body, DM_LIT("endpoint_uri"), DM_LIT("/api/health"));
    dm_json_set_str(body, DM_LIT("endpoint_description"), DM_LIT("smoke"));
    return step(s, "create an endpoint", "POST", "/platform/endpoint", body);
}

static bool subscribe(struct smoke *s)
{
    struct dm_json *body = api_named(s);

    dm_json_set_str(body, DM_LIT("username"), dm_view_of(s->name));
    return step(s, "subscribe", "POST", "/platform/subscription/subscribe", body);
}

static bool log_in_user(struct smoke *s)
{
    char email[80];

    snprintf(email, sizeof(email), "%s@example.com", s->name);
    return log_in(s, "log in as that user", dm_view_of(email), dm_view_of(s->user_password),
                  &s->user_token);
}

/* Calls until the status is the one wanted: each gateway behind the address has the change in force
 * at a moment of its own, and refuses in other words until then. At most so many calls may pass. */
static bool call_until(struct smoke *s, const char *what, dm_view token, int wanted, int may_pass)
{
    const dm_time until = dm_clock_mono(&dm_clock_system) + in_force_within;
    struct dm_error err = {0};
    int status, passed = 0;

    while ((status = ask_gateway(s, token, &err)) != wanted &&
           dm_clock_mono(&dm_clock_system) < until) {
        passed += status == 200;
        if (passed > may_pass)
            break;
        if (status != 200)
            nap(ask_again);
    }
    say(s, status == wanted, what, status, status == 0 ? err.text : "");
    return status == wanted;
}

static void call_it(struct smoke *s)
{
    const dm_view token = dm_buf_view(&s->user_token);

    if (call_until(s, "call it", token, 200, 0) &&
        call_until(s, "call it without a token", DM_VIEW_NONE, 401, 0))
        call_until(s, "call it too often", token, 429, CALLS_PER_HOUR - 1);
}

static void remove_all(struct smoke *s)
{
    char path[96];

    if (s->made_api) {
        snprintf(path, sizeof(path), "/platform/api/%s/v1", s->name);
        step(s, "remove the API", "DELETE", path, NULL);
    }
    if (s->made_user) {
        snprintf(path, sizeof(path), "/platform/user/%s", s->name);
        step(s, "remove the user", "DELETE", path, NULL);
    }
}

int command_smoke(const struct program *program, struct process *p, const struct options *o)
{
    struct smoke s = {0};
    int code = EX_USAGE;

    (void)program, (void)p, (void)o;
    if (prepare(&s)) {
        if (step(&s, "readiness of the admin", "GET", "/platform/monitor/readiness", NULL) &&
            log_in(&s, "log in", dm_view_of(s.email), dm_buf_view(&s.password), &s.admin_token) &&
            make_user(&s) && make_api(&s) && make_endpoint(&s) && subscribe(&s) &&
            log_in_user(&s) && s.calls)
            call_it(&s);
        remove_all(&s);
        code = s.failed ? 1 : 0;
    }
    clean(&s);
    return code;
}
