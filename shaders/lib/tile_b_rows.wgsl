// tile_b_rows: the operand b (SUMS,COLS) of a product by tiles.  COLS % 4 == 0. Columns past the end read the last:
// they are never stored. Addends past the end read the last: a has zeros there.
//
// The functions are those of tile_a_columns with columns for rows, without the zeros.
fn b_place(i: u32) -> vec2<u32> { return vec2<u32>(i % BN4, i / BN4); }

fn b_start(col4: u32, own: u32) -> vec4<u32> {
    let quads = p.COLS / 4u;
    let column = min(col4, quads - 1u);
    return vec4<u32>(own * 4u * quads + column, (p.SUMS - 1u) * quads + column, 0u, 0u);
}

fn b_load(start: vec4<u32>, own: u32, q0: u32) -> Block {
    let quads = p.COLS / 4u;
    let begin = q0 * 4u * quads;
    let at = min(vec4<u32>(start.x) + (vec4<u32>(begin) + vec4<u32>(0u, 1u, 2u, 3u) * quads), vec4<u32>(start.y));
    return Block(b[at.x], b[at.y], b[at.z], b[at.w]);
}

fn b_addends(v: Block) -> Addends {
    return Addends(unpack4(v.r0), unpack4(v.r1), unpack4(v.r2), unpack4(v.r3));
}
