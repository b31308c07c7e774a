// tile_b_columns: the operand b of a product by tiles, transposed: (COLS,SUMS).  SUMS % 4 == 0. Columns past the end
// read the last: they are never stored. Addends past the end read the last: a has zeros there.
//
// The functions are those of tile_a_rows with columns for rows, without the zeros.
fn b_place(i: u32) -> vec2<u32> { return vec2<u32>(i / BK4, i % BK4); }

fn b_start(col4: u32, own: u32) -> vec4<u32> {
    let cols = min(vec4<u32>(col4 * 4u) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(p.COLS - 1u));
    return cols * (p.SUMS / 4u);
}

fn b_load(start: vec4<u32>, own: u32, q0: u32) -> Block {
    let at = start + vec4<u32>(min(q0 + own, p.SUMS / 4u - 1u));
    return Block(b[at.x], b[at.y], b[at.z], b[at.w]);
}

fn b_addends(v: Block) -> Addends {
    return turned(unpack4(v.r0), unpack4(v.r1), unpack4(v.r2), unpack4(v.r3));
}
