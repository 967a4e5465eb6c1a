Feature: Workspace files

    As a physicist,
    I want all results in the workspace,
    so that I can download them.

    Scenario: The events are there
        When the workflow is finished
        Then the workspace should contain "workflow_ph/combine/data/combined_delphes.h5"
        And the size of the file "workflow_ph/combine/data/combined_delphes.h5" should be between "100 KiB" and "10 GiB"

    Scenario: Limits and plots are there
        When the workflow is finished
        Then the workspace should contain "workflow_ml/plotting/plots/limits.yml"
        And the workspace should contain "workflow_ml/plotting/plots/all_methods.png"
        And the file "workflow_ml/plotting/plots/limits.yml" should contain "95 % CL"

    Scenario: The results of every method are there
        When the workflow is finished
        Then all the outputs should be included in the workspace
