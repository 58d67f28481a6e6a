#include "base/clock.h"

#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"

#include "base/poison.h"

enum { SECONDS_PER_DAY = 86400 };

static dm_time read_clock(clockid_t id)
{
    struct timespec ts;
    int rc = clock_gettime(id, &ts);
    DM_ASSERT(rc == 0);
    return (dm_time)ts.tv_sec * DM_SEC + ts.tv_nsec;
}

static dm_time system_mono(void *ctx)
{
    (void)ctx;
    return read_clock(CLOCK_MONOTONIC);
}

static dm_time system_wall(void *ctx)
{
    (void)ctx;
    return read_clock(CLOCK_REALTIME);
}

const struct dm_clock dm_clock_system = {system_mono, system_wall, NULL};

static dm_time manual_mono(void *ctx)
{
    return atomic_load(&((struct dm_clock_manual *)ctx)->mono_);
}

static dm_time manual_wall(void *ctx)
{
    return atomic_load(&((struct dm_clock_manual *)ctx)->wall_);
}

void dm_clock_manual_init(struct dm_clock_manual *m, dm_time mono, dm_time wall)
{
    m->clock = (struct dm_clock){manual_mono, manual_wall, m};
    atomic_init(&m->mono_, mono);
    atomic_init(&m->wall_, wall);
}

void dm_clock_manual_step(struct dm_clock_manual *m, dm_time by)
{
    DM_REQUIRE(by >= 0);
    atomic_fetch_add(&m->mono_, by);
    atomic_fetch_add(&m->wall_, by);
}

void dm_clock_manual_step_wall(struct dm_clock_manual *m, dm_time by)
{
    atomic_fetch_add(&m->wall_, by);
}

/* Calendar of the proleptic Gregorian calendar, UTC. Our own instead of gmtime_r, which takes the
 * lock of the time zone tables. Both ways after Hinnant, "chrono-compatible low-level date
 * algorithms": years begin in March, eras have 400 years (146097 days), day 0 is 1970-01-01. */
struct civil {
    int year, month, day, hour, minute, second, weekday; /* weekday 0 = Thursday, that of day 0 */
};

static struct civil civil_of(dm_time wall)
{
    int64_t seconds = wall / DM_SEC - (wall % DM_SEC < 0);
    int64_t days = seconds / SECONDS_PER_DAY - (seconds % SECONDS_PER_DAY < 0);
    int in_day = (int)(seconds - days * SECONDS_PER_DAY);
    int64_t shifted = days + 719468;
    int64_t era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
    int day_of_era = (int)(shifted - era * 146097);
    int year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int march_month = (5 * day_of_year + 2) / 153;
    int month = march_month < 10 ? march_month + 3 : march_month - 9;
    return (struct civil){
        .year = (int)(year_of_era + era * 400) + (month <= 2),
        .month = month,
        .day = day_of_year - (153 * march_month + 2) / 5 + 1,
        .hour = in_day / 3600,
        .minute = in_day / 60 % 60,
        .second = in_day % 60,
        .weekday = (int)((days % 7 + 7) % 7),
    };
}

static int64_t days_of(int year, int month, int day)
{
    int shifted = month <= 2 ? year - 1 : year;
    int era = shifted / 400;
    int year_of_era = shifted - era * 400;
    int day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    int day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return (int64_t)era * 146097 + day_of_era - 719468;
}

static char *put_number(char *at, int n, int digits)
{
    for (int i = digits - 1; i >= 0; i--) {
        at[i] = (char)('0' + n % 10);
        n /= 10;
    }
    return at + digits;
}

static char *put_text(char *at, const char *text, size_t len)
{
    memcpy(at, text, len);
    return at + len;
}

static char *put_time(char *at, const struct civil *c)
{
    at = put_number(at, c->hour, 2);
    *at++ = ':';
    at = put_number(at, c->minute, 2);
    *at++ = ':';
    return put_number(at, c->second, 2);
}

void dm_time_http_date(dm_time wall, char out[DM_HTTP_DATE_LEN + 1])
{
    struct civil c = civil_of(wall);
    char *at = put_text(out, &"ThuFriSatSunMonTueWed"[3 * c.weekday], 3);
    at = put_text(at, ", ", 2);
    at = put_number(at, c.day, 2);
    *at++ = ' ';
    at = put_text(at, &"JanFebMarAprMayJunJulAugSepOctNovDec"[3 * (c.month - 1)], 3);
    *at++ = ' ';
    at = put_number(at, c.year, 4);
    *at++ = ' ';
    at = put_time(at, &c);
    at = put_text(at, " GMT", 4);
    *at = '\0';
}

void dm_time_iso(dm_time wall, char out[DM_ISO_LEN + 1])
{
    struct civil c = civil_of(wall);
    char *at = put_number(out, c.year, 4);
    *at++ = '-';
    at = put_number(at, c.month, 2);
    *at++ = '-';
    at = put_number(at, c.day, 2);
    *at++ = 'T';
    at = put_time(at, &c);
    *at++ = 'Z';
    *at = '\0';
}

void dm_time_stamp(dm_time wall, char out[DM_STAMP_LEN + 1])
{
    struct civil c = civil_of(wall);
    char *at = put_number(out, c.year, 4);
    at = put_number(at, c.month, 2);
    at = put_number(at, c.day, 2);
    *at++ = 'T';
    at = put_number(at, c.hour, 2);
    at = put_number(at, c.minute, 2);
    at = put_number(at, c.second, 2);
    *at++ = 'Z';
    *at = '\0';
}

static bool read_number(dm_view text, size_t at, size_t digits, uint64_t max, int *ret)
{
    uint64_t n;
    if (!dm_parse_u64(dm_view_sub(text, at, digits), max, &n))
        return false;
    *ret = (int)n;
    return true;
}

static int days_in_month(int year, int month)
{
    static const unsigned char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return days[month - 1] + (month == 2 && leap);
}

bool dm_time_from_iso(dm_view text, dm_time *ret_wall)
{
    static const char marks[] = "____-__-__T__:__:__Z";
    int year, month, day, hour, minute, second;

    if (text.len != DM_ISO_LEN)
        return false;
    for (size_t i = 0; i < DM_ISO_LEN; i++) {
        if (marks[i] != '_' && text.ptr[i] != marks[i])
            return false;
    }
    if (!read_number(text, 0, 4, 9999, &year) || !read_number(text, 5, 2, 12, &month) ||
        !read_number(text, 8, 2, 31, &day) || !read_number(text, 11, 2, 23, &hour) ||
        !read_number(text, 14, 2, 59, &minute) || !read_number(text, 17, 2, 59, &second))
        return false;
    if (month < 1 || day < 1 || day > days_in_month(year, month))
        return false;
    int64_t seconds =
        days_of(year, month, day) * SECONDS_PER_DAY + hour * 3600 + minute * 60 + second;
    return !__builtin_mul_overflow(seconds, DM_SEC, ret_wall); /* years 1677 to 2262 fit */
}
