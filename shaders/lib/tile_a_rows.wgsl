// tile_a_rows: the operand a (ROWS,SUMS) of a product by tiles, in rows of ASTRIDE from column ACOL on. Where
// SUMS % 4 > 0, the columns up to the next multiple of 4 are zero. Rows past the end read the last: they are never
// stored.
//
// A tile is made of blocks of four rows by four addends. a_place returns the i-th block of a tile, as its quad of rows
// and of addends, so that neighbours read neighbouring memory; a_start where the block with this quad of rows lies in
// memory, computed once; a_load what it holds where the tile begins with quad q0 of addends; a_addends turns it into a
// column for each addend, zero from addend stop on.
fn a_place(i: u32) -> vec2<u32> { return vec2<u32>(i / BK4, i % BK4); }

fn a_start(row4: u32, own: u32) -> vec4<u32> {
    let rows = min(vec4<u32>(row4 * 4u) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(p.ROWS - 1u));
    return (rows * p.ASTRIDE + vec4<u32>(p.ACOL)) / vec4<u32>(4u);
}

fn a_load(start: vec4<u32>, own: u32, q0: u32) -> Block {
    let at = start + vec4<u32>(min(q0 + own, (p.SUMS + 3u) / 4u - 1u));
    return Block(a[at.x], a[at.y], a[at.z], a[at.w]);
}

fn a_addends(v: Block, q: u32, stop: u32) -> Addends {
    let m = turned(unpack4(v.r0), unpack4(v.r1), unpack4(v.r2), unpack4(v.r3));
    let inside = vec4<bool>(q * 4u < stop);
    let zero = vec4<f32>(0.0);
    return Addends(select(zero, m.k0, inside), select(zero, m.k1, inside), select(zero, m.k2, inside),
        select(zero, m.k3, inside));
}
