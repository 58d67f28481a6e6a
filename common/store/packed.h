/* JSON text of records in fewer bytes: a member's name that a field table knows takes two, a UUID
 * 17. Exact for every text, so whoever keeps records packed gives back what came. Equal pieces of
 * texts are packed equally where they begin and end with a whole token, so `"name":"value"` stands
 * packed in the packed text of every object that holds it. Nothing packed leaves the process. Pure;
 * any thread. */
#pragma once

#include "base/buf.h"

void dm_pack(dm_view text, struct dm_buf *out);
void dm_unpack(dm_view packed, struct dm_buf *out); /* packed comes from dm_pack */
