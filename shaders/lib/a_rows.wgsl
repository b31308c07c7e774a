// a_rows: the operand a (ROWS,SUMS) of a product, in rows of ASTRIDE from column ACOL on. Where SUMS % 4 > 0, the
// columns up to the next multiple of 4 are zero. Rows past the end read the last: they are never stored.
//
// A thread walks A_BLOCKS blocks of A_ROWS rows in registers, from row on: a_at returns where the i-th block begins,
// computed once, and load_a its q-th quads of addends, those of its row r in component r. (FXC refuses a function that
// returns an array.)
const A_ROWS: u32 = 1u;
const A_BLOCKS: u32 = TM;

fn a_at(row: u32, i: u32) -> vec3<u32> {
    return vec3<u32>(min(row + i, p.ROWS - 1u) * (p.ASTRIDE / 4u) + p.ACOL / 4u, 0u, 0u);
}

fn load_a(at: vec3<u32>, q: u32) -> Addends {
    let v = unpack4(a[at.x + q]);
    return Addends(vec4<f32>(v.x), vec4<f32>(v.y), vec4<f32>(v.z), vec4<f32>(v.w));
}
