# Source me from the project's root:  . ./environment.sh
# Everything that dagster, trademl and the web server need to find the same history, artifacts and configuration.
export DAGSTER_HOME="${DAGSTER_HOME:-$PWD}"
export TRADEML_VAR="${TRADEML_VAR:-$PWD/var}"
export TRADEML_CONFIG="${TRADEML_CONFIG:-configs/demo}"
export MLFLOW_ALLOW_PICKLE_DESERIALIZATION=false
export PATH="$PWD/.venv/bin:$PATH"
