//! The same checks on random bytes, without coverage and some dozen times faster: `cargo run --release --bin tokens_random
//! --manifest-path fuzz/Cargo.toml -- 10000000 [SEED]`.

mod common;

fn main() {
    let mut arguments = std::env::args().skip(1).filter_map(|argument| argument.parse().ok());
    let (runs, seed) = (arguments.next().unwrap_or(1_000_000), arguments.next().unwrap_or(1));
    let mut state: u64 = seed ^ 0x9E37_79B9_7F4A_7C15;
    let mut random = || {
        // xorshift64*
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32
    };
    let mut data = Vec::new();
    for run in 0..runs {
        data.clear();
        let length = 3 + random() % [4, 12, 24, 60][(random() & 3) as usize];
        data.extend((0..length).map(|_| random() as u8));
        // Most texts are fragments; bytes alone are mostly U+FFFD.
        data[1] = if random() & 7 == 0 { 0 } else { 0x40 | (random() & random() & random() & 15) as u8 };
        common::same_as_tiktoken(&data);
        if run % 500_000 == 499_999 {
            eprintln!("{} executions", run + 1);
        }
        if run % 4 == 0 {
            common::same_however_split(&data);
        }
    }
    println!("{runs} executions, no difference");
}
