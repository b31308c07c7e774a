// group_sum: the sum of v over the threads of a workgroup, by a tree: the same order every time. Of every LANES
// neighbouring threads each keeps a sum of its own, over the threads that are a multiple of LANES apart; LANES = 1 is
// one sum for all.
//
// The kernel declares alias Sum (f32, vec2<f32>, …) and consts WG and LANES, powers of two. All threads must call it.
// The first barrier keeps a second call from overwriting what the first still reads, and the driver's own zeroing from
// coming late.
var<workgroup> group_part: array<Sum, WG>;

fn group_sum(li: u32, v: Sum) -> Sum {
    workgroupBarrier();
    group_part[li] = v;
    workgroupBarrier();
    for (var h = WG / 2u; h >= LANES; h = h / 2u) {
        if li < h { group_part[li] = group_part[li] + group_part[li + h]; }
        workgroupBarrier();
    }
    return group_part[li % LANES];
}
