# Source me from the project's root:  . ./environment.sh [deployment]
# Exports what dagster, trademl and the web server need to find the same configuration, artifacts and history.
# Each deployment has a history of its own: the demo's home is this folder, another's is var/<deployment>.
# Paths in dagster.yaml are relative: run dagster's own commands in $DAGSTER_HOME.
_deployment="${1:-demo}"
export TRADEML_VAR="${TRADEML_VAR:-$PWD/var}"
export TRADEML_CONFIG="$PWD/configs/$_deployment"
if [ "$_deployment" = demo ]; then
  export DAGSTER_HOME="$PWD"
else
  export DAGSTER_HOME="$TRADEML_VAR/$_deployment"
  mkdir -p "$DAGSTER_HOME" && cp dagster.yaml workspace.yaml "$DAGSTER_HOME/"
fi
export MLFLOW_ALLOW_PICKLE_DESERIALIZATION=false
case ":$PATH:" in *":$PWD/.venv/bin:"*) ;; *) export PATH="$PWD/.venv/bin:$PATH" ;; esac
unset _deployment
