//! The program of every function. Lambda starts it as `bootstrap`.

fn main() -> Result<(), lambda_runtime::Error> {
    isotherm_lambda::run()
}
