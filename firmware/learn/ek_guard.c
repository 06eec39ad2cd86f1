#include "ek_guard.h"

ek_verdict ek_guard_see(ek_guard *guard, ek_real loss) {
    const ek_real change = ek_mul(guard->smoothing, ek_sub(loss, guard->mean));
    guard->mean = guard->count == 0U ? loss : ek_add(guard->mean, change);
    guard->since_store++;
    if (guard->count < guard->warm_up) {
        guard->count++;
        guard->best = guard->mean;
        return EK_GO_ON;
    }
    guard->best = guard->mean < guard->best ? guard->mean : guard->best;
    const ek_real limit = ek_add(ek_mul(guard->factor, guard->best), guard->margin);
    if (guard->mean > limit) {
        guard->count = 0;
        guard->since_store = 0;
        return EK_GO_BACK;
    }
    if (guard->since_store >= guard->store_each) {
        guard->since_store = 0;
        return EK_STORE;
    }
    return EK_GO_ON;
}
