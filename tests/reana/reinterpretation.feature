Feature: Reinterpretation

    As a physicist,
    I want to know which points of my theory an analysis excludes,
    so that I need not ask those who made it.

    Scenario: The limits are there
        When the workflow is finished
        Then the engine logs should contain "workflow completed successfully"
        And the workspace should contain "workflow_recast/interpretation/limits.png"
        And the workspace should contain "workflow_recast/interpretation/results.png"
        And the file "workflow_recast/interpretation/limits.yml" should contain "upper_limit"
