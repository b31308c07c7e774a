// tile_a_columns: the operand a of a product by tiles, transposed: (SUMS,ROWS), in rows of ASTRIDE from column ACOL on.
// Rows past the end hold anything: they are never stored.
//
// The functions are those of tile_a_rows; a_start returns the place in the first tile, and the last there is.
fn a_place(i: u32) -> vec2<u32> { return vec2<u32>(i % BM4, i / BM4); }

fn a_start(row4: u32, own: u32) -> vec4<u32> {
    let quads = p.ASTRIDE / 4u;
    let column = min(p.ACOL / 4u + row4, quads - 1u);
    return vec4<u32>(own * 4u * quads + column, (p.SUMS - 1u) * quads + column, 0u, 0u);
}

fn a_load(start: vec4<u32>, own: u32, q0: u32) -> Block {
    let quads = p.ASTRIDE / 4u;
    let begin = q0 * 4u * quads;
    let at = min(vec4<u32>(start.x) + (vec4<u32>(begin) + vec4<u32>(0u, 1u, 2u, 3u) * quads), vec4<u32>(start.y));
    return Block(a[at.x], a[at.y], a[at.z], a[at.w]);
}

fn a_addends(v: Block, q: u32, stop: u32) -> Addends {
    let k = q * 4u;
    let zero = vec4<f32>(0.0);
    return Addends(
        select(zero, unpack4(v.r0), vec4<bool>(k < stop)), select(zero, unpack4(v.r1), vec4<bool>(k + 1u < stop)),
        select(zero, unpack4(v.r2), vec4<bool>(k + 2u < stop)), select(zero, unpack4(v.r3), vec4<bool>(k + 3u < stop)));
}
