//! The table of gates.

/// One row: what was measured, its target and its gate.
pub struct Gate {
    pub name: &'static str,
    pub unit: &'static str,
    pub measured: f64,
    pub target: f64,
    pub gate: f64,
    /// Whether larger is better.
    pub is_minimum: bool,
}

impl Gate {
    pub fn at_most(name: &'static str, unit: &'static str, measured: f64, target: f64, gate: f64) -> Gate {
        Gate { name, unit, measured, target, gate, is_minimum: false }
    }

    pub fn at_least(name: &'static str, unit: &'static str, measured: f64, target: f64, gate: f64) -> Gate {
        Gate { name, unit, measured, target, gate, is_minimum: true }
    }

    fn meets(&self, bound: f64) -> bool {
        if self.is_minimum { self.measured >= bound } else { self.measured <= bound }
    }

    pub fn passes(&self, slack: f64) -> bool {
        self.meets(if self.is_minimum { self.gate / (1.0 + slack) } else { self.gate * (1.0 + slack) })
    }
}

/// Returns the measured values as lines of points.
pub fn points(gates: &[Gate]) -> String {
    gates.iter().map(|gate| format!("gate\t{}\t{:.3}\n", gate.name, gate.measured)).collect()
}

/// Prints the table. Returns whether all gates are met, allowing for `slack`, a share of the gate.
pub fn print(gates: &[Gate], slack: f64) -> bool {
    println!("\n{:<52} {:>11} {:>9} {:>9}", "path", "measured", "target", "gate");
    for gate in gates {
        let sign = if gate.is_minimum { '≥' } else { '≤' };
        let verdict = match (gate.passes(slack), gate.meets(gate.target)) {
            (true, true) => "pass, target met",
            (true, false) => "pass",
            (false, _) => "FAIL",
        };
        let number = |value: f64| if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") };
        println!(
            "{:<52} {:>11} {:>9} {:>9}  {verdict}",
            gate.name,
            format!("{} {}", number(gate.measured), gate.unit),
            format!("{sign} {}", number(gate.target)),
            format!("{sign} {}", number(gate.gate)),
        );
    }
    let missed = gates.iter().filter(|gate| !gate.passes(slack)).count();
    println!("{} gates, {missed} missed (slack {:.0} %)", gates.len(), slack * 100.0);
    missed == 0
}
